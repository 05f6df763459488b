// Versions with their gates, what was refused, and what comes next.

function gatesCell(gates, number) {
  if (!gates.length) return "none";
  const failed = gates.filter((gate) => !gate.passed);
  const title = failed.length
    ? `overruled: ${failed.map((gate) => gate.name).join(", ")}`
    : `all ${gates.length} passed`;
  return folded(
    `gates-${number}`,
    title,
    sentences(gates.map((gate) => `${gate.passed ? "" : "OVERRULED "}${gate.name}: ${gate.detail}`)),
  );
}

function versionsSection(page, rollBack) {
  if (!page.versions.length)
    return [el("p", { class: "soft" }, page.head ? "No version can be read." : "None yet."), refusals(page)];
  const shown = page.versions.slice(0, 8),
    rest = page.versions.slice(8);
  const button = (version) =>
    el(
      "button",
      {
        type: "button",
        class: "quiet",
        id: `back-to-${version.number}`,
        "aria-haspopup": "dialog",
        "aria-label": `Roll back to version ${version.number}`,
      },
      "Roll back …",
    );
  const columns = [
    {
      name: "Version",
      head: true,
      of: (version) =>
        version.number === page.head
          ? [`${version.number} `, el("span", { class: "tag" }, "newest")]
          : String(version.number),
    },
    { name: "What", of: versionWords },
    { name: "Base", of: (version) => named(version.base_id) },
    { name: "Log until (UTC)", of: (version) => time(version.trend_time) },
    { name: "New samples", number: true, of: (version) => count(version.interval.samples) },
    {
      name: "Recall fresh / frozen",
      number: true,
      of: ({ interval }) =>
        interval.clicks
          ? `${share(interval.fresh_hits, interval.clicks)} / ${share(interval.frozen_hits, interval.clicks)}`
          : "–",
    },
    { name: "Gates", text: true, of: (version) => gatesCell(version.gates, version.number) },
    {
      name: "By",
      text: true,
      of: (version) => [version.who, ", ", time(version.created_at), version.why ? `: ${version.why}` : ""],
    },
  ];
  if (page.may_roll_back) {
    columns.push({
      name: "Roll back",
      plain: true,
      of: (version) => {
        if (!version.may_return) return "";
        const made = button(version);
        made.addEventListener("click", () => rollBack(version.number, made));
        return made;
      },
    });
  }
  return [
    scrolled("The newest versions", table("Newest first", columns, shown, "cards")),
    rest.length
      ? folded(
          "older",
          `${count(rest.length)} more`,
          scrolled("Older versions", table("Older ones", columns, rest, "cards")),
        )
      : null,
    page.may_roll_back
      ? null
      : el(
          "p",
          { class: "soft" },
          "Rolling back from here is off: set ",
          el("code", null, "operator_token_file"),
          " for freshet serve. By hand: ",
          el("code", null, 'freshet publish rollback --to VERSION --why "..."'),
          ".",
        ),
    refusals(page),
  ];
}

function refusals(page) {
  if (!page.refusals.length) return el("p", { class: "soft" }, "No version was refused.");
  return [
    el("h3", null, "Refused"),
    table(
      "Versions that were never served, newest first",
      [
        { name: "Would be", of: (refusal) => String(refusal.number), head: true },
        { name: "Base", of: (refusal) => named(refusal.base_id) },
        { name: "When (UTC)", of: (refusal) => time(refusal.created_at) },
        {
          name: "Against it",
          text: true,
          of: (refusal) => sentences(refusal.against.map((gate) => `${gate.name}: ${gate.detail}`)),
        },
      ],
      page.refusals,
      "cards",
    ),
  ];
}

function basesSection(page) {
  const next = page.next_base;
  const made = [el("h3", null, "Next base")];
  if (next) {
    made.push(
      facts([
        ["Base", next.base_id],
        ["It is", next.state],
        ["Since (UTC)", time(next.created_at)],
        next.clicks
          ? [
              `Recall@${next.k} on ${count(next.clicks)} clicks`,
              `${share(next.hits, next.clicks)}, the served base's ${share(next.former_hits, next.clicks)}`,
            ]
          : null,
        next.why ? ["Why", next.why, "wide"] : null,
      ]),
    );
  } else made.push(el("p", { class: "soft" }, "None is under way."));
  made.push(el("h3", null, "Nights"));
  if (page.nights.length) {
    made.push(
      table(
        "Newest first",
        [
          { name: "Days", of: (night) => named(night.days.join(", ")), head: true },
          { name: "It is", of: (night) => el("span", { class: night.step === "refused" ? "bad" : null }, night.step) },
          { name: "Base", of: (night) => (night.base_id ? named(night.base_id) : "–") },
          { name: "When (UTC)", of: (night) => time(night.created_at) },
          {
            name: "Against it",
            text: true,
            of: (night) =>
              [...night.gates.filter((gate) => !gate.passed).map((gate) => `${gate.name}: ${gate.detail}`), night.why]
                .filter(Boolean)
                .join("; ") || "–",
          },
        ],
        page.nights,
        "cards",
      ),
    );
  } else made.push(el("p", { class: "soft" }, "No night is on record."));
  return made;
}
