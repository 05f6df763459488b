// JSON has no word for what is no number: it comes as null.
const figure = (value, digits) => (value === null ? "no number" : value.toFixed(digits));

// Answers side by side, a column for each that answers; what a publish brought or took is said in words too.
function answersTable(found) {
  const columns = [
    ["before", found.before],
    ["now", found.now],
    ...found.arms.map((answer) => [`arm ${answer.arm}`, answer]),
  ].filter(([, answer]) => answer);
  const [entered, left] = [new Set(found.entered), new Set(found.left)];
  const item = (name, answer, n) => {
    const one = answer.items[n];
    if (!one) return "";
    const kind =
      name === "now" && entered.has(one.item_id) ? "entered" : name === "before" && left.has(one.item_id) ? "left" : "";
    return [
      el("span", { class: `item ${kind}` }, one.item_id),
      kind ? el("span", { class: "soft" }, ` ${kind}`) : "",
      el("span", { class: "soft" }, ` ${figure(one.score, 2)}`),
    ];
  };
  const rows = Array.from({ length: Math.max(...columns.map(([, answer]) => answer.items.length)) }, (_, n) => n);
  return scrolled(
    "Answers side by side",
    table(
      "Items with their scores, best first",
      [
        { name: "Rank", of: (n) => String(n + 1), head: true },
        ...columns.map(([name, answer]) => ({
          name: `${name}: version ${answer.version}`,
          of: (n) => item(name, answer, n),
        })),
      ],
      rows,
    ),
  );
}

function userSection(found) {
  const user = found.user;
  const rowOf = (answer) =>
    answer.how === "own row"
      ? `own row, ${plural(answer.clicks, "click")}, made by ${answer.delta ? `delta ${answer.delta}` : "the base"}`
      : "common row: this user has none";
  return [
    el("h3", null, "User ", el("code", null, found.user_id)),
    found.faults.map((fault) => el("p", { class: "bad" }, `Cannot be shown: ${fault}`)),
    el(
      "p",
      null,
      found.before
        ? `${plural(found.entered.length, "item")} entered, ${plural(found.left.length, "item")} left ` +
            `with version ${found.now.version}.`
        : "",
    ),
    facts([
      ["Answered by arm", found.arm],
      found.before && [`Row in version ${found.before.version}`, rowOf(found.before)],
      [`Row in version ${found.now.version}`, rowOf(found.now)],
      ["Found by", found.now.search],
      ["Partition", String(found.now.partition)],
      user && user.last_event_time && ["Last click in it (UTC)", time(user.last_event_time)],
      user && ["Length of the own row", figure(user.own_norm, 3)],
    ]),
    user && user.ring.length
      ? folded("ring", `${plural(user.ring.length, "item")} clicked lately, not shown again`, user.ring.join(", "))
      : null,
    answersTable(found),
    user && user.evidence.length
      ? [
          el("h3", null, "What the row rests on"),
          scrolled(
            "Evidence",
            table(
              "Deltas that changed it, and the log that they may come from",
              [
                { name: "Delta", of: (origin) => String(origin.delta), head: true },
                {
                  name: "Samples",
                  of: (origin) => `${count(origin.first_ordinal)} to ${count(origin.next_ordinal - 1)}`,
                },
                {
                  name: "Log records",
                  of: (origin) =>
                    origin.first_offset < 0
                      ? "no longer here"
                      : `${count(origin.first_offset)} to ${count(origin.next_offset - 1)}`,
                },
                { name: "Log until (UTC)", of: (origin) => time(origin.watermark) },
              ],
              user.evidence,
            ),
          ),
        ]
      : el("p", { class: "soft" }, "No delta has changed this user's row."),
  ];
}
