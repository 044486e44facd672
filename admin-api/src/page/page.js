// Shows the cluster from the same calls that `slotway ctl` makes, every two seconds. Text is only ever set as text.

const REFRESH_MS = 2000;
const byId = (id) => document.getElementById(id);

// A token, if one is needed, lives as long as the tab.
async function get(path) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { headers, signal: AbortSignal.timeout(5000) });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.error.message), { status: response.status });
  return body;
}

const unknown = "–";
const text = (value) => (value === null ? unknown : String(value));
const list = (values) => (values.length ? values.join(" ") : unknown);
const count = (value) => (value === null ? unknown : value.toLocaleString("en"));

function bytes(value) {
  if (value === null) return unknown;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

// What a replica holds that has no link to its primary grows older.
const role = (node) =>
  node.role === "replica" && node.kind === "slotway" && node.lag_bytes === null ? "replica (detached)" : node.role;

function element(name, content, className) {
  const made = document.createElement(name);
  made.textContent = content;
  if (className) made.className = className;
  return made;
}

// A colour per shard; neighbours differ by the golden angle.
const colour = (shard) => `hsl(${(shard * 137.5) % 360} 45% 42%)`;

// columns: [title, value of a row, "number" | "state" | undefined]
function fill(table, columns, rows) {
  const head = document.createElement("tr");
  for (const [title, , kind] of columns) head.append(element("th", title, kind === "number" ? "number" : ""));
  const lines = rows.map((row) => {
    const line = document.createElement("tr");
    for (const [, value, kind] of columns) {
      const cell = element("td", value(row), kind === "number" ? "number" : "");
      if (kind === "state") {
        const word = value(row);
        cell.className = word;
        cell.prepend(element("span", "", "dot"));
      }
      line.append(cell);
    }
    return line;
  });
  table.replaceChildren(head, ...lines);
}

function showSlots(slots) {
  const parts = slots.ranges.map((range) => {
    const [first, last = first] = range.slots.split("-").map(Number);
    const part = element("span", `shard ${range.shard}`);
    part.style.flexGrow = last - first + 1;
    part.style.flexBasis = 0;
    part.style.background = colour(range.shard);
    part.title = `slots ${range.slots}: shard ${range.shard}, ${range.node} ${text(range.addr)}`;
    return part;
  });
  byId("slots").replaceChildren(...parts);
}

function show(cluster, shards, nodes, slots, proxies) {
  const state = byId("state");
  state.textContent = cluster.state;
  state.className = `state ${cluster.state}`;
  byId("summary").textContent = [
    `${count(cluster.keys)} keys`,
    bytes(cluster.memory_bytes),
    `${count(cluster.slots_assigned)} of 16,384 slots assigned`,
    `topology version ${cluster.version}`,
    cluster.software,
  ].join(" · ");
  showSlots(slots);
  fill(byId("shards"), [
    ["Shard", (s) => s.name],
    ["State", (s) => s.state, "state"],
    ["Primary", (s) => s.primary],
    ["Replicas", (s) => list(s.replicas)],
    ["Slots", (s) => list(s.slots)],
    ["Keys", (s) => count(s.keys), "number"],
    ["Memory", (s) => bytes(s.memory_bytes), "number"],
  ], shards.shards);
  fill(byId("nodes"), [
    ["Node", (n) => n.id],
    ["Health", (n) => text(n.health), "state"],
    ["Role", role],
    ["Shard", (n) => text(n.shard)],
    ["Address", (n) => n.addr],
    ["Keys", (n) => count(n.keys), "number"],
    ["Memory", (n) => bytes(n.memory_bytes), "number"],
    ["Lag", (n) => bytes(n.lag_bytes), "number"],
    ["Software", (n) => text(n.software)],
  ], nodes.nodes);
  fill(byId("proxies"), [
    ["Proxy", (p) => p.id],
    ["Address", (p) => p.addr],
    ["Admin", (p) => text(p.admin_addr)],
    ["Topology", (p) => text(p.version), "number"],
    ["Clients", (p) => count(p.clients), "number"],
  ], proxies.proxies);
}

async function refresh() {
  const trouble = byId("trouble");
  try {
    const paths = ["cluster", "shards", "nodes", "slots", "proxies"];
    show(...await Promise.all(paths.map((path) => get(`/v1/${path}`))));
    trouble.hidden = true;
    byId("login").hidden = true;
  } catch (error) {
    trouble.textContent = error.status ? error.message : "This proxy does not answer; trying again.";
    trouble.hidden = false;
    byId("login").hidden = error.status !== 401;
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value);
  refresh();
});

for (;;) {
  if (!document.hidden) await refresh();
  await new Promise((wake) => setTimeout(wake, REFRESH_MS));
}
