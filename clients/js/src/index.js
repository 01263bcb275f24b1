// What can be imported: see README.md.

export { connect } from "./client.js";
export { Disconnected, JobCancelled, JobFailed, JobLost, Refused } from "./errors.js";
