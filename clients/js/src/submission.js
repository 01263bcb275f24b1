// The frame that submits a job.

/** As often as it is sent, it is one job: the server knows its key. */
export const submission = ({ key, taskType, content, notBefore, delayed, retryOf }) => ({
  action: retryOf ? "retry_job" : "system_message",
  payload: retryOf ? { job_id: retryOf } : { task_type: taskType, content },
  // Where a delay was said, not a time, the clock here may be wrong.
  ...(delayed ? { delay: Math.max(0, notBefore - Date.now()) / 1000 } : { not_before: notBefore?.toISOString() }),
  ref: key,
  key,
});
