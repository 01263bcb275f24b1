// The jobs of a client as the frames tell them; knows no sockets.

import { Disconnected, isUnsure, JobLost } from "./errors.js";
import { change, createJob } from "./job.js";
import { changesBy, STATES } from "./life.js";
import { createList } from "./observable.js";

const UNCONFIRMED = "The server may have it: try again if it may be done twice.";

/** Whether it may have ended unseen, and the server can be asked. */
export const isDoubtful = ({ state, error }) => state === "interrupted" && !error;

/** The `list` that a client shows, and what it does with it. `submit` and `cancel` are for its jobs, see there. */
export const createJobs = (submit, cancel, most = 200) => {
  const [list, tell] = createList("job");
  const named = new Map(); // by key and by id

  const show = (job, type) => {
    named.set(job.key, job);
    if (job.id) {
      named.set(job.id, job);
    }
    tell(type, job);
    const oldest = list.size > most && [...list].findLast(({ ended }) => ended);
    if (oldest) {
      forget(oldest);
    }
    return job;
  };

  const forget = (job) => {
    named.delete(job.key);
    named.delete(job.id);
    tell("removed", job);
  };

  const make = (data) => createJob(data, submit, cancel, (job) => named.get(job.key) === job && show(job, "changed"));

  const lose = (job, forGood) => {
    const error = new JobLost();
    change(job, { state: "interrupted", reason: error.message, error: forGood ? error : null, cancelling: false });
  };

  const follow = (frame, at) => {
    const { action, ref, job_id: id } = frame;
    const sent = named.get(ref);
    let job = named.get(id);
    if (sent && !sent.id) {
      if (job) {
        forget(job); // the same key was used elsewhere, with another ref: who holds this one goes on with it
        change(sent, { ...job.snapshot(), key: sent.key });
      }
      job = sent;
      named.set(id, job);
    }
    if (job) {
      change(job, changesBy(frame, job, at));
    } else if (at && action !== "job_progress") {
      // It was submitted elsewhere, or before a reload.
      job = make({
        id,
        key: sent ? id : (ref ?? id),
        taskType: frame.task_type ?? "job",
        content: frame.content ?? "",
        retryOf: frame.retry_of ?? null,
        submittedAt: at,
      });
      change(job, changesBy(frame, job, at));
      show(job, "added");
    }
  };

  const refuse = (ref, error) => {
    const job = named.get(ref); // by its id, with cancel_job and get_job
    if (!job || job.ended) {
      return;
    }
    const alone = !job.id || isDoubtful(job);
    if (!job.id) {
      change(job, { state: error.again === false ? "refused" : "unsent", reason: error.message, error });
      if (job.cancelling && !isUnsure(error)) {
        cancel(job);
      }
    } else if (job.cancelling) {
      change(job, { cancelling: false });
    } else if (alone && error.is("unknown_job")) {
      lose(job, true);
    }
    return alone;
  };

  /** Do not send again by itself what is on its way. */
  const hold = (reason) => {
    for (const job of list) {
      if (job.state === "sending") {
        refuse(job.key, new Disconnected(reason));
      }
    }
  };

  list.get = (idOrKey) => named.get(idOrKey);
  list.clearEnded = () => {
    for (const job of list) {
      if (job.ended) {
        forget(job);
      }
    }
  };

  return {
    list,
    hold,

    /** List a job that this client submits. */
    add: (data) => show(make(data), "added"),

    /** Take a frame, and its `error` if it is one; returns whether that is about a job alone, and told to nobody else. */
    take(frame, error) {
      const { action, ref, payload } = frame;
      if (error) {
        return refuse(ref, error);
      }
      if (action === "job_status") {
        const { state, text, result = text } = payload; // an older server gives no `result`
        follow({ ...payload, action: state, ref, payload: result }, null);
      } else if (action in STATES) {
        follow(frame, new Date(frame.at ?? Date.now()));
      }
    },

    /** History was cut: what was open may have ended unseen. Events that still come put it right, and the server is asked. */
    cut(sameClient) {
      for (const job of list) {
        if (job.id && !job.ended) {
          lose(job, !sameClient);
        }
      }
      if (!sameClient) {
        hold(UNCONFIRMED);
      }
    },

    /** Nothing more is heard of open jobs; with null it is again. */
    fail(error) {
      for (const job of list) {
        if (!job.ended && job.state !== "unsent" && !(job.error instanceof JobLost)) {
          change(job, { error });
        }
      }
    },
  };
};
