// Two charts, drawn at the width there is. Each has a sentence for who does not see it, and a table beneath.

const PAD = { left: 42, right: 58, top: 12, bottom: 22 };

function scale(from, to, low, high) {
  const width = to - from || 1;
  return (value) => low + ((value - from) / width) * (high - low);
}

function steps(most, about) {
  const rough = most / about || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, n) => n * step);
}

function frame(width, height, label, ticks, y, written) {
  const lines = ticks.map((tick) => [
    svg("line", { class: "axis", x1: PAD.left, x2: width - PAD.right, y1: y(tick), y2: y(tick) }),
    svg("text", { x: PAD.left - 6, y: y(tick) + 4, "text-anchor": "end" }, written(tick)),
  ]);
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label }, lines);
}

function hours(drawing, x, times, y) {
  const every = Math.max(1, Math.ceil((times.length * 48) / (x(times[times.length - 1]) - x(times[0]) || 1)));
  const middle = times.slice(0, -1).filter((_, n) => n % every === 0);
  for (const at of middle) drawing.append(svg("text", { x: x(at), y, "text-anchor": "middle" }, clock(at)));
}

// Labels at the ends of two lines, kept apart.
function ends(drawing, x, one, other) {
  const apart = Math.abs(one.y - other.y) < 14 ? (one.y <= other.y ? 7 : -7) : 0;
  for (const [end, move] of [
    [one, -apart],
    [other, apart],
  ]) {
    drawing.append(svg("text", { class: end.kind, x: x + 6, y: end.y + 4 + move }, end.text));
  }
}

function recallChart(points, width) {
  const height = 270,
    bars = 48,
    floor = height - PAD.bottom - bars - 8;
  const ratio = (name) => (point) => point.interval[name] / point.interval.clicks;
  const [fresh, frozen] = [ratio("fresh_hits"), ratio("frozen_hits")];
  const most = Math.max(0.01, ...points.map(fresh), ...points.map(frozen));
  const ticks = steps(most * 1.05, 4),
    clicks = Math.max(...points.map((point) => point.interval.clicks));
  const x = scale(0, points.length - 1, PAD.left + 8, width - PAD.right - 8),
    y = scale(0, most * 1.05, floor, PAD.top);
  const last = points[points.length - 1],
    k = last.interval.k;
  const words = (point) =>
    `fresh ${fresh(point).toFixed(3)}, frozen ${frozen(point).toFixed(3)}, of ${count(point.interval.clicks)} clicks`;
  const label = `Recall at ${k} by publish. The last: ${words(last)}.`;
  const drawing = frame(width, height, label, ticks, y, (tick) => tick.toFixed(most < 0.1 ? 3 : 2));
  const each = Math.max(2, (width - PAD.left - PAD.right) / points.length);
  points.forEach((point, n) => {
    const tall = (point.interval.clicks / clicks) * bars;
    drawing.append(
      svg("rect", {
        class: "bar",
        x: x(n) - each * 0.35,
        width: each * 0.7,
        y: height - PAD.bottom - tall,
        height: tall,
      }),
    );
  });
  for (const [kind, of] of [
    ["frozen", frozen],
    ["fresh", fresh],
  ]) {
    const path = points.map((point, n) => `${n ? "L" : "M"}${x(n).toFixed(1)} ${y(of(point)).toFixed(1)}`).join("");
    drawing.append(svg("path", { class: `line ${kind}`, d: points.length > 1 ? path : `${path}h4` }));
  }
  points.forEach((point, n) => {
    const told = `version ${point.number}, until ${clock(point.trend_time)}: ${words(point)}`;
    drawing.append(
      svg(
        "rect",
        { class: "hit", x: x(n) - each / 2, width: each, y: PAD.top, height: height - PAD.top - PAD.bottom },
        svg("title", null, told),
      ),
    );
  });
  ends(
    drawing,
    width - PAD.right,
    { kind: "fresh", text: "fresh", y: y(fresh(last)) },
    { kind: "frozen", text: "frozen", y: y(frozen(last)) },
  );
  drawing.append(svg("text", { x: width - PAD.right + 6, y: height - PAD.bottom - 4 }, "clicks"));
  const every = Math.max(1, Math.ceil((points.length * 52) / (width - PAD.left - PAD.right)));
  points.forEach((point, n) => {
    if (n % every === 0)
      drawing.append(svg("text", { x: x(n), y: height - 5, "text-anchor": "middle" }, clock(point.trend_time)));
  });
  return drawing;
}

// Age of the newest click that a hop knows: it falls when something comes, and grows until the next thing does.
function ages(moments, until) {
  const path = [];
  let at = -Infinity,
    newest = null;
  for (const moment of moments) {
    at = Math.max(at, moment.at);
    if (newest !== null) path.push([at, at - newest]);
    newest = moment.newest;
    path.push([at, at - newest]);
  }
  if (newest !== null && until > at) path.push([until, until - newest]);
  return path;
}

function freshnessChart(served, deltas, until, width) {
  const height = 190,
    minute = 60000;
  const lines = [
    ["frozen", ages(deltas, until)],
    ["fresh", ages(served, until)],
  ].filter(([, path]) => path.length);
  const all = lines.flatMap(([, path]) => path);
  const most = Math.max(minute, ...all.map(([, age]) => age)) / minute;
  const from = Math.min(...all.map(([at]) => at)),
    to = Math.max(...all.map(([at]) => at));
  const x = scale(from, to, PAD.left, width - PAD.right),
    y = scale(0, most * 1.05, height - PAD.bottom, PAD.top);
  const [, shown] = lines[lines.length - 1],
    last = shown[shown.length - 1];
  const [age, oldest] = [Math.round(last[1] / minute), Math.round(most)];
  const label = `Age of the newest click served, in minutes of log time. Now ${age}, at most ${oldest}.`;
  const drawing = frame(width, height, label, steps(most * 1.05, 4), y, (tick) => count(tick));
  for (const [kind, path] of lines) {
    const d = path
      .map(([at, age], n) => `${n ? "L" : "M"}${x(at).toFixed(1)} ${y(Math.max(age, 0) / minute).toFixed(1)}`)
      .join("");
    drawing.append(svg("path", { class: `line thin ${kind}`, d }));
  }
  const tip = (path) => y(Math.max(path[path.length - 1][1], 0) / minute);
  const named = { fresh: "served", frozen: "deltas" };
  const [one, other] = lines.map(([kind, path]) => ({ kind, text: named[kind], y: tip(path) }));
  if (other) ends(drawing, width - PAD.right, other, one);
  hours(
    drawing,
    x,
    served.map((moment) => moment.at),
    height - 5,
  );
  drawing.append(svg("text", { x: PAD.left, y: 9 }, "min"));
  return drawing;
}
