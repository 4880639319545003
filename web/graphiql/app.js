// Shows GraphiQL for the API at this page's own address, whatever prefix a proxy puts before it.
"use strict";

(() => {
  const STORED = "discord-task-scheduler.api-key";
  const PLACEHOLDER = "your-api-key";
  const EXAMPLES = `# Set your API key above, or in the headers below,
# then run one of these: Ctrl-Enter, or the button.
# The book at the left holds the documentation.

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

# Every attempt that finished, each once: pass the last
# cursor as "after" to get those since.
query Feed {
  logFeed(first: 20) {
    entries { taskId scheduledFor status message }
    cursor
    hasMore
  }
}

# The same as they finish, until you stop it.
subscription Watch {
  taskLogs { taskId scheduledFor status message }
}

query Audit {
  auditLogs(limit: 10) {
    data { at actor action taskId changes }
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

  // The header editor's headers with the key: the editor's own, else the one set above.
  // GraphiQL sends its first introspection without the editor's, and subscriptions with nothing else.
  const withKey = (given) => {
    const headers = new Headers(given);
    const typed = headers.get("X-API-Key");
    headers.delete("X-API-Key");
    const key = typed && typed !== PLACEHOLDER ? typed : sessionStorage.getItem(STORED);
    return key ? { ...Object.fromEntries(headers), "X-API-Key": key } : null;
  };

  const fetchAndTell = async (url, options) => {
    const response = await fetch(url, options);
    if (response.ok) {
      state.textContent = "key accepted";
      sessionStorage.setItem(STORED, new Headers(options.headers).get("X-API-Key"));
    } else {
      // Over HTTP/2 there is no text.
      const { status, statusText } = response;
      state.textContent = status === 401 ? "wrong key" : `${status} ${statusText}`.trim();
    }
    return response;
  };

  const send = GraphiQL.createFetcher({
    url: address,
    subscriptionUrl: address.replace(/^http/, "ws"),
    fetch: fetchAndTell,
  });

  const sendWithKey = (operation, options = {}) => {
    const headers = withKey(options.headers);
    if (headers) return send(operation, { ...options, headers });
    state.textContent = "no key yet";
    return { errors: [{ message: "Set your API key above first." }] };
  };

  const show = () => {
    shown += 1;
    root.render(
      React.createElement(GraphiQL, {
        key: shown, // a new one makes GraphiQL start again, and read the schema with the new key
        fetcher: sendWithKey,
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
