// Adds each new event to the top. Without this script, the page reloads itself.
const list = document.getElementById("feed");
const feed = new EventSource(list.dataset.events);
feed.onmessage = (event) => {
  list.querySelector(".empty")?.remove();
  // HTML of the site, in which texts are escaped.
  list.insertAdjacentHTML("afterbegin", event.data);
  while (list.children.length > 25) list.lastElementChild.remove();
};
// The session has ended: the page leads to the sign-in.
feed.onerror = () => location.reload();
