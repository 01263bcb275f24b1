// Where the console is: a view, what it is of, and how it is filtered, in the fragment of the address.

const VIEWS = ["jobs", "job", "workers", "web", "stream", "announce"]; // the first is shown where the address has none

/** `{view, path, query}` of the address: `#job/<client>/<job>` is of the view "job". */
export function current() {
  const [path, query = ""] = location.hash.slice(1).split("?", 2);
  const [view, ...rest] = path.split("/").map(decoded);
  return { view: VIEWS.includes(view) ? view : VIEWS[0], path: rest, query: new URLSearchParams(query) };
}

/** The fragment of a view; entries of `query` that are empty are left out. */
export function href(view, path = [], query = {}) {
  const entries = Object.entries(query).filter(([, value]) => value);
  const address = [view, ...path].map(encodeURIComponent).join("/");
  return `#${address}${entries.length ? `?${new URLSearchParams(entries)}` : ""}`;
}

/** The fragment of a job's page. */
export const jobHref = ({ client_id: client, job_id: job }) => href("job", [client, job]);

/** Go there; `replace` the place in the history where somebody is still typing. */
export function go(fragment, { replace = false } = {}) {
  if (fragment === location.hash) {
    return;
  }
  if (replace) {
    history.replaceState(null, "", fragment);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = fragment;
  }
}

/** What this place in the history is to remember, for when it is come back to, or loaded again. */
export function note(values) {
  history.replaceState({ ...history.state, ...values }, "");
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // somebody typed it
  }
}
