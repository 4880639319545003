// Shows GraphiQL for the API at this page's own address, whatever prefix a proxy puts before it.
"use strict";

(() => {
  const STORED = "discord-task-scheduler.api-key";
  const PLACEHOLDER = "your-api-key";
  const EXAMPLES = `# Set your API key above, then run one of these:
# Ctrl-Enter, or the button. The book at the left
# holds the documentation.

query Dashboard {
  dashboardStats {
    total
    active
    failed
    queued
    nextRunAt
    last24h { succeeded failed successRate }
  }
}

query Tasks {
  tasks(limit: 10) {
    data {
      id
      name
      status
      scheduleDescription
      nextRunAt
      lastLog { status executionTime message }
    }
    meta { page totalPages total }
  }
}

query Preview {
  schedulePreview(schedule: "0 9 * * 1-5", timezone: "Europe/Berlin") {
    description
    nextRuns
  }
}

mutation Create {
  createTask(
    input: {
      name: "Good morning"
      schedule: "0 9 * * 1-5"
      timezone: "Europe/Berlin"
      webhookUrl: "https://discord.com/api/webhooks/<id>/<token>"
      payload: { content: "Good morning!" }
    }
  ) {
    id
    webhookUrl
    nextRuns(count: 3)
  }
}
`;

  const form = document.getElementById("key-form");
  const input = document.getElementById("key");
  const state = document.getElementById("key-state");
  const root = ReactDOM.createRoot(document.getElementById("graphiql"));
  const address = new URL(location.pathname, location.origin).href;
  let shown = 0;

  // The first introspection goes out without the header editor's content, so the key is added here.
  const fetchWithKey = async (url, options = {}) => {
    const headers = new Headers(options.headers);
    const typed = headers.get("X-API-Key");
    const key = typed && typed !== PLACEHOLDER ? typed : sessionStorage.getItem(STORED);
    if (!key) {
      state.textContent = "no key yet";
      const body = JSON.stringify({ errors: [{ message: "Set your API key above first." }] });
      return new Response(body, { status: 401, headers: { "Content-Type": "application/json" } });
    }
    headers.set("X-API-Key", key);
    const response = await fetch(url, { ...options, headers });
    state.textContent = response.status === 401 ? "wrong key" : "key accepted";
    return response;
  };

  const show = () => {
    shown += 1;
    root.render(
      React.createElement(GraphiQL, {
        key: shown, // a new one makes GraphiQL start again, and read the schema with the new key
        fetcher: GraphiQL.createFetcher({ url: address, fetch: fetchWithKey }),
        defaultQuery: EXAMPLES,
        defaultHeaders: JSON.stringify({ "X-API-Key": PLACEHOLDER }, null, 2),
        isHeadersEditorEnabled: true,
        shouldPersistHeaders: false,
        defaultEditorToolsVisibility: "headers",
      }),
    );
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(STORED, input.value.trim());
    input.value = "";
    show();
  });

  show();
})();
