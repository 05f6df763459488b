// The sections, each made of the overview alone.

const ACTIONS = { publish: "published", cut_over: "cut over to this base", rollback: "rolled back" };

function versionWords(version) {
  return version.action === "rollback" ? `content of ${version.content_of} again` : ACTIONS[version.action];
}

function attentionSection(page) {
  const well = page.attention.length === 0;
  byId("attention").closest("section").className = `card ${well ? "well" : "fault"}`;
  return well ? [el("p", null, "Nothing.")] : [sentences(page.attention), hints(page)];
}
function hints(page) {
  const found = [...new Set(page.away.map((part) => part.hint).filter(Boolean))];
  return found.length ? folded("hints", "What to do", sentences(found)) : null;
}

const ago = (page) => span(page.made_at - page.answering.last_event_time);

function nowSection(page) {
  const status = page.answering,
    version = page.versions[0];
  if (!status)
    return [el("p", null, "Nothing is served yet. Publish first: ", el("code", null, "freshet publish once"), ".")];
  const held = version && version.held ? plural(version.held, "delta") : "none";
  return [
    facts([
      ["This process answers from", `version ${status.version}`],
      ["Newest version", String(status.newest_version)],
      ["Base", status.base_id],
      ["What it is", status.action === "rollback" ? `content of version ${status.content_of}` : ACTIONS[status.action]],
      version && ["By", version.who],
      version && ["When (UTC)", time(version.created_at)],
      ["Newest click in it (UTC)", time(status.last_event_time)],
      ["… that is, ago by the clock", ago(page)],
      ["Log served until (UTC)", time(status.trend_time)],
      [
        "Items",
        [
          count(status.items),
          status.fresh_items && `${count(status.fresh_items)} new`,
          status.hidden_items && `${count(status.hidden_items)} hidden`,
        ]
          .filter(Boolean)
          .join(", "),
      ],
      ["Found by", page.search || "–"],
      ["User tower", status.tower],
      ["Deltas held", held],
      version && version.why && ["Why", version.why, "wide"],
    ]),
    armsTable(status),
  ];
}
function armsTable(status) {
  if (status.arms.length < 2) return null;
  return [
    el("h3", null, "Arms"),
    table(
      "Who is answered by what",
      [
        { name: "Arm", of: (arm) => arm.arm, head: true },
        { name: "Share of users", of: (arm) => `${(arm.share * 100).toFixed(1)} %`, number: true },
        { name: "Version", of: (arm) => String(arm.version), number: true },
        { name: "Base", of: (arm) => named(arm.base_id) },
      ],
      status.arms,
    ),
  ];
}

const measured = (page) => page.versions.filter((version) => version.interval.clicks > 0).reverse();

function recallSection(page, width) {
  const points = measured(page);
  if (!points.length) return [el("p", { class: "soft" }, "No version holds deltas with validation records yet.")];
  const sum = (name) => points.reduce((total, point) => total + point.interval[name], 0);
  const clicks = sum("clicks"),
    k = points[points.length - 1].interval.k;
  return [
    el(
      "p",
      null,
      `Recall@${k} of ${count(clicks)} clicks before they were learned: fresh `,
      el("strong", null, share(sum("fresh_hits"), clicks)),
      ", frozen ",
      el("strong", null, share(sum("frozen_hits"), clicks)),
      ".",
    ),
    recallChart(points, width),
    el(
      "p",
      { class: "soft" },
      `By publish, the last ${plural(points.length, "version")} with clicks, in log time (UTC). ` +
        "As the trainer scores it, by partition. Fresh: the newest rows and the trend. Frozen: the base alone.",
    ),
    folded(
      "recall-table",
      "As a table",
      scrolled(
        "Recall by version",
        table(
          `Recall@${k} by version, newest first`,
          [
            { name: "Version", of: (point) => String(point.number), head: true },
            { name: "Until (UTC)", of: (point) => time(point.trend_time) },
            { name: "Clicks", of: (point) => count(point.interval.clicks), number: true },
            { name: "Fresh", of: (point) => share(point.interval.fresh_hits, point.interval.clicks), number: true },
            { name: "Frozen", of: (point) => share(point.interval.frozen_hits, point.interval.clicks), number: true },
          ],
          [...points].reverse(),
        ),
      ),
    ),
  ];
}

function freshnessSection(page, width) {
  const [samples] = page.hops;
  const served = page.versions
    .map((version) => ({ at: version.trend_time, newest: version.last_event_time }))
    .reverse();
  const deltas = page.versions.flatMap((version) => version.interval.deltas).sort((one, other) => one.at - other.at);
  const made = [];
  if (page.hops.length) {
    made.push(
      table(
        "Newest click and watermark at each hop, and how far that is behind the hop before",
        [
          { name: "Hop", of: (hop) => hop.name, head: true },
          { name: "Newest click (UTC)", of: (hop) => brief(hop.newest) },
          { name: "Log until (UTC)", of: (hop) => brief(hop.watermark) },
          { name: "Behind", of: (hop) => (hop === samples ? "" : span(hop.behind_ms)), number: true },
        ],
        page.hops,
        "tight",
      ),
    );
  }
  if (served.length) {
    made.push(
      el("h3", null, "Age of the newest click known, in log time"),
      freshnessChart(served, deltas, samples && samples.watermark, width),
      el(
        "p",
        { class: "soft" },
        `Over the last ${plural(served.length, "version")}: it falls with each publish and grows until the next.`,
      ),
    );
  }
  return made.length ? made : [el("p", { class: "soft" }, "Nothing to show yet.")];
}

function countsSection(page) {
  if (!page.lines.length) return [el("p", { class: "soft" }, "No counts can be read.")];
  const right = (line) => line.expected === line.count;
  const word = (line) =>
    line.expected === null
      ? ""
      : [
          el("span", { class: right(line) ? "good" : "bad" }, right(line) ? "✓ " : "✗ "),
          line.must_be,
          right(line) ? "" : `: ${count(line.expected)}`,
        ];
  const partition = (name, of) => ({ name, of: (part) => count(part[of]), number: true });
  return [
    table(
      "From the log to what is served",
      [
        { name: "Hop", of: (line) => line.name, head: true },
        { name: "Samples", of: (line) => count(line.count), number: true },
        { name: "Must be", of: word },
      ],
      page.lines,
    ),
    folded(
      "partitions",
      "By partition",
      scrolled(
        "Counts by partition",
        table(
          "Samples by partition",
          [
            { name: "Partition", of: (part) => String(part.partition), head: true },
            partition("In shards", "samples"),
            partition("In the base", "in_base"),
            partition("In deltas", "in_deltas"),
            partition("Served", "served"),
            partition("Held", "held"),
            { name: "Log served until (UTC)", of: (part) => time(part.served_watermark) },
          ],
          page.partitions,
        ),
      ),
    ),
  ];
}
