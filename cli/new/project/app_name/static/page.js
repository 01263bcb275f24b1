// Orders tea, and shows it as it is made.

import { connect } from "/bus/static/client/index.js";

const client = connect({ url: "/bus/ws/system" });
const form = document.getElementById("order");
const state = document.getElementById("state");
const orders = document.getElementById("orders");

client.on("state", () => {
  state.textContent = client.state.name === "connected" ? "" : "Not connected; it will be again by itself.";
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { cups, kind } = form.elements;
  client.submit("tea", { cups: cups.valueAsNumber, kind: kind.value });
});

// Those from before a reload too.
client.jobs.subscribe(({ type, job }) => {
  if (type === "added") {
    const item = document.createElement("li");
    const show = () => {
      item.textContent = job.text || (job.ended ? job.reason || job.state : `${job.state}…`);
    };
    job.subscribe(show);
    show();
    orders.prepend(item);
  }
});
