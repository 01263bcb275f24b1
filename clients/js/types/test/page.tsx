import { connect, type Job } from "busctl-client";
import { ClientProvider, useClient, useClientState, useJob, useJobs, useNotifications } from "busctl-client/react";

const client = connect();

function Row({ job }: { job: Job }) {
  const { state, text, progress } = useJob(job);
  // @ts-expect-error: there may be no such job
  const unknown: string = useJob("order-17").text;
  return <li onClick={() => job.cancel()}>{`${state} ${progress?.value ?? ""} ${text} ${unknown}`}</li>;
}

function Board() {
  const { submit } = useClient();
  const { name } = useClientState();
  // @ts-expect-error: translate takes text
  submit("translate", 5);
  return (
    <ul aria-busy={name !== "connected"}>
      {useJobs().map((job) => <Row key={job.key} job={job} />)}
      {useNotifications().map(({ payload, seq }) => <li key={seq}>{payload}</li>)}
    </ul>
  );
}

export const page = (
  <ClientProvider client={client}>
    <Board />
  </ClientProvider>
);
