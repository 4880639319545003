// Shows the messages as they come. All that was sent is put in as text, never as HTML; what kinds
// of elements there are, and which links, the server has decided (sandbox/markdown.py).
"use strict";

(() => {
  const TAGS = {
    block: "pre", bold: "strong", code: "code", heading1: "h3", heading2: "h4", heading3: "h5",
    italic: "em", quote: "blockquote", spoiler: "span", strike: "s", underline: "u",
  };
  const NEAR_END_PX = 80;
  const MAX_MESSAGES = 200;
  const COPIED_MS = 1500;

  const messages = document.getElementById("messages");
  const state = document.getElementById("state");

  const make = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };

  const timed = (date, text) => {
    const element = make("time", "", text);
    element.dateTime = date.toISOString();
    element.title = date.toLocaleString();
    return element;
  };

  const linked = (href, children) => {
    const element = make("a", "", ...children);
    element.href = href;
    element.target = "_blank";
    element.rel = "noopener noreferrer nofollow";
    return element;
  };

  const drawn = (nodes) => nodes.map((node) => {
    if (typeof node === "string") return node;
    const children = drawn(node.of);
    if (node.kind === "link") return linked(node.href, children);
    if (node.kind === "time") {
      const date = new Date(node.epoch * 1000);
      return timed(date, date.toLocaleString());
    }
    const element = make(TAGS[node.kind], node.kind, ...children);
    if (node.kind === "spoiler") element.tabIndex = 0; // focus shows it, also on a phone
    return element;
  });

  const drawnField = (field) =>
    make("div", field.inline ? "field inline" : "field",
      make("div", "field-name", ...drawn(field.name)),
      make("div", "text", ...drawn(field.value)));

  const drawnEmbed = (embed) => {
    const box = make("div", "embed");
    if (embed.color) box.style.setProperty("--bar", embed.color);
    if (embed.author) box.append(make("div", "author", embed.author));
    if (embed.title.length) {
      const title = drawn(embed.title);
      box.append(make("div", "title", ...(embed.href ? [linked(embed.href, title)] : title)));
    }
    if (embed.description.length) box.append(make("div", "text", ...drawn(embed.description)));
    if (embed.fields.length) box.append(make("div", "fields", ...embed.fields.map(drawnField)));
    if (embed.pictures.length) box.append(make("div", "pictures", ...drawn(embed.pictures)));
    if (embed.footer || embed.at) {
      const parts = embed.footer ? [embed.footer] : [];
      if (embed.at) {
        const date = new Date(embed.at);
        parts.push(timed(date, date.toLocaleString()));
      }
      box.append(make("div", "footer", ...parts.flatMap((part, i) => (i ? [" · ", part] : [part]))));
    }
    return box;
  };

  const drawnMessage = (message) => {
    const [initial] = message.name;
    const avatar = make("div", "avatar", initial.toUpperCase());
    avatar.setAttribute("aria-hidden", "true");
    const hue = [...message.name].reduce((sum, one) => (sum * 31 + one.codePointAt(0)) % 360, 7);
    avatar.style.setProperty("--hue", hue);
    const at = new Date(message.at);
    const body = make("div", "body",
      make("div", "head",
        make("span", "name", message.name), make("span", "app", "APP"),
        timed(at, at.toLocaleTimeString())));
    if (message.content.length) body.append(make("div", "text", ...drawn(message.content)));
    body.append(...message.embeds.map(drawnEmbed));
    body.append(...message.notes.map((note) => make("p", "note", note)));
    const article = make("article", "", avatar, body);
    article.dataset.id = message.id;
    return article;
  };

  const events = new EventSource("events");
  events.addEventListener("open", () => { state.textContent = "live"; });
  events.addEventListener("error", () => { state.textContent = "connection lost; trying again …"; });
  events.addEventListener("message", (event) => {
    const left = messages.scrollHeight - messages.scrollTop - messages.clientHeight;
    document.getElementById("empty")?.remove();
    messages.append(drawnMessage(JSON.parse(event.data)));
    while (messages.childElementCount > MAX_MESSAGES) messages.firstElementChild.remove();
    if (left < NEAR_END_PX) messages.scrollTop = messages.scrollHeight;
  });

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    getSelection().selectAllChildren(source); // to copy by hand where the clipboard is refused
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, COPIED_MS);
  };

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }

  const tell = async () => {
    const details = await (await fetch("details")).json();
    for (const name of ["webhookUrl", "apiKey", "mutation", "command"]) {
      document.getElementById(name).textContent = details[name];
    }
    document.getElementById("graphiqlUrl").href = details.graphiqlUrl;
  };

  tell();
})();
