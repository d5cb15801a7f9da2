// Adds each new event to the top. Without this script, the page reloads itself.
const list = document.getElementById("feed");
const feed = new EventSource(list.dataset.events);
feed.onmessage = (event) => {
  list.querySelector(".empty")?.remove();
  // HTML of the site, in which texts are escaped.
  list.insertAdjacentHTML("afterbegin", event.data);
  while (list.children.length > 25) list.lastElementChild.remove();
};
// The browser reconnects by itself, unless the session has ended or access was withdrawn: the page says so.
feed.onerror = () => feed.readyState === EventSource.CLOSED && location.reload();
