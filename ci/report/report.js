/* SPDX-License-Identifier: BSD-3-Clause */
/* Filters of the matrix, and what a cell opens. Text goes into the page as text, not as markup. */
"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const text = (number) => data.texts[number];
const BAD = ["FAIL", "BROKEN", "DEVIATES", "KNOWN"];
const ORDER = ["FAIL", "BROKEN", "DEVIATES", "KNOWN", "SKIP", "PASS"];
const form = document.getElementById("filters");
const dialog = document.getElementById("cell");
const table = document.getElementById("rows");
const rows = [...table.tBodies[0].rows];

/* An element with a class and contents: texts, elements, or nothing. */
function make(name, type, ...contents) {
	const element = document.createElement(name);
	if (type)
		element.className = type;
	element.append(...contents.filter((one) => one !== "" && one !== null));
	return element;
}

/* A row of model.py's _cases, unpacked. */
function unpack([id, verdict, requirements, detail, nodeid]) {
	const name = text(id), slash = name.indexOf("/");
	const one = { id: name, verdict: data.words[verdict], requirements: requirements.map(text) };
	one.nodeid = nodeid ? text(nodeid)
		: `cases/test_${name.slice(0, slash)}.py::test_${name.slice(slash + 1)}`;
	if (detail) {
		const [code, blamed, level, reason, link, readings, listing] = detail;
		Object.assign(one, { code: text(code), blamed: text(blamed), level: text(level),
			reason: text(reason), link: text(link), readings: readings.map(text),
			listing: listing ? listing.map(text).join("\n") : "" });
	}
	return one;
}

for (const target of data.targets) {
	target.cells = new Map();
	for (const one of target.cases.map(unpack))
		for (const name of new Set([...one.requirements, one.blamed].filter(Boolean)))
			(target.cells.get(name) || target.cells.set(name, []).get(name)).push(one);
	target.violations = target.violations.map((row) => row.map(text));
}

function command(target, one) {
	const plain = /^[\w@%+=:,./-]+$/.test(one.nodeid);
	const word = plain ? one.nodeid : "'" + one.nodeid.replaceAll("'", "'\"'\"'") + "'";
	return target.repeat.replace("{case}", () => word);
}

/* ---- what a cell opens ---- */

function linked(link) {
	if (!/^https?:\/\//.test(link))
		return link;
	const anchor = make("a", "", link);
	anchor.href = link;
	anchor.rel = "noreferrer";
	return anchor;
}

function article(target, one) {
	const box = make("article", "", make("h3", "", make("span", "word " + one.verdict, one.verdict),
		" ", make("code", "", one.id)));
	if (one.verdict === "SKIP") {
		box.append(make("p", "", one.reason));
		return box;
	}
	if (one.reason)
		box.append(make("p", "", "known: " + one.reason + " ", linked(one.link)));
	if (one.blamed && one.verdict !== "BROKEN")
		box.append(make("p", "sub", `${one.code}, breaks ${one.blamed} (${one.level})`));
	for (const reading of one.readings)
		box.append(make("p", "sub", "strict reading " + reading));
	box.append(one.listing ? make("pre", "", one.listing)
		: make("p", "sub", "as those above; the JSON report has the listing"));
	box.append(make("pre", "command", command(target, one)));
	return box;
}

function passes(target, list) {
	const box = make("details", "", make("summary", "", `${list.length} passed`));
	const first = () => {
		box.append(...list.map((one) => make("pre", "command", command(target, one))));
		box.removeEventListener("toggle", first);
	};
	box.addEventListener("toggle", first);
	return box;
}

function skips(list) {
	const reasons = new Map();
	for (const one of list)
		reasons.set(one.reason, [...(reasons.get(one.reason) || []), one]);
	return [...reasons].map(([reason, ones]) => make("details", "",
		make("summary", "", `${ones.length} skipped: ${reason}`),
		...ones.map((one) => make("p", "", make("code", "", one.id)))));
}

function violations(target, id) {
	const one = ([, verdict, count, code, what, first]) => make("article", "",
		make("h3", "", make("span", "word " + verdict, verdict), " ", make("code", "", code)),
		make("pre", "", what),
		make("p", "sub", `${count} messages of this kind, the first in `, make("code", "", first)));
	return target.violations.filter((row) => row[0] === id)
		.sort((a, b) => ORDER.indexOf(a[1]) - ORDER.indexOf(b[1])).map(one);
}

function contents(id, target) {
	const [level, section, statement, check, notes, origin, depends] = data.requirements[id].map(text);
	const close = make("button", "", "close");
	close.addEventListener("click", () => dialog.close());
	const title = make("h2", "", id, " ", make("small", "", `${level}, ${target.name}`));
	title.id = "cell-title";
	const list = (target.cells.get(id) || []).slice();
	const bad = list.filter((one) => BAD.includes(one.verdict));
	bad.sort((a, b) => (b.blamed === id) - (a.blamed === id)
		|| ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict)
		|| Boolean(b.listing) - Boolean(a.listing));
	const facts = make("dl", "");
	for (const [name, value] of [["section", section], ["checked by", check], ["notes", notes],
		["origin", origin], ["needs", depends]])
		if (value)
			facts.append(make("dt", "", name), make("dd", "", value));
	const good = list.filter((one) => one.verdict === "PASS");
	const missing = list.filter((one) => one.verdict === "SKIP");
	const about = make("details", "", make("summary", "", "The requirement in the register"), facts);
	about.open = bad.length === 0;
	return [make("div", "top", title, close), make("p", "", statement), about,
		...violations(target, id), ...bad.map((one) => article(target, one)),
		...(missing.length ? skips(missing) : []), ...(good.length ? [passes(target, good)] : [])];
}

function open(id, index) {
	const target = data.targets[index];
	if (!target || !Object.hasOwn(data.requirements, id))
		return;
	dialog.replaceChildren(...contents(id, target));
	if (!dialog.open)
		dialog.showModal();
	dialog.scrollTop = 0;
	history.replaceState(null, "", `#${id}/${index}`);
}

function follow() {
	const [id, index] = decodeURIComponent(location.hash.slice(1)).split("/");
	if (index !== undefined)
		open(id, Number(index));
}

dialog.addEventListener("close", () => history.replaceState(null, "", "#matrix"));
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
window.addEventListener("hashchange", follow);
for (const anchor of document.querySelectorAll("a.open"))
	anchor.addEventListener("click", (event) => {
		event.preventDefault();
		open(...anchor.hash.slice(1).split("/"));
	});

/* ---- the matrix: one stop of the tab key, arrows move in it ---- */

let current = null;

function stand(button) {
	if (current)
		current.tabIndex = -1;
	current = button;
	if (button)
		button.tabIndex = 0;
}

function neighbour(button, key) {
	const cell = button.closest("td"), row = cell.parentElement;
	if (key === "ArrowLeft" || key === "ArrowRight") {
		const line = [...row.querySelectorAll("td:not([hidden]) > button")];
		return line[line.indexOf(button) + (key === "ArrowRight" ? 1 : -1)];
	}
	const step = key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling";
	for (let next = row[step]; next; next = next[step]) {
		const found = !next.hidden && next.cells[cell.cellIndex].querySelector("button");
		if (found)
			return found;
	}
	return null;
}

table.addEventListener("keydown", (event) => {
	if (!event.target.matches("td > button") || !event.key.startsWith("Arrow"))
		return;
	event.preventDefault();
	const next = neighbour(event.target, event.key);
	if (next) {
		stand(next);
		next.focus();
	}
});
table.addEventListener("click", (event) => {
	const button = event.target.closest("td > button");
	if (!button)
		return;
	stand(button);
	open(button.closest("tr").id, Number(button.parentElement.dataset.t));
});

/* ---- filters ---- */

const words = new Map(rows.map((row) => {
	const cases = data.targets.flatMap((target) => target.cells.get(row.id) || []);
	const more = cases.flatMap((one) => [one.id, one.code || "", one.reason || ""]);
	return [row, [row.cells[0].textContent, ...new Set(more)].join("\n").toLowerCase()];
}));

function fits(row, wanted, shown) {
	const verdicts = [...row.querySelectorAll("td[data-t]")]
		.filter((cell) => shown.has(cell.dataset.t)).map((cell) => cell.dataset.word);
	const told = new Set(verdicts.filter((word) => word !== "SKIP" && word !== "NONE"));
	return wanted.text.every((word) => words.get(row).includes(word))
		&& (!wanted.level || row.dataset.level === wanted.level)
		&& (!wanted.area || row.dataset.area === wanted.area)
		&& (!wanted.verdict || verdicts.includes(wanted.verdict))
		&& (!wanted.failures || verdicts.some((word) => BAD.includes(word)))
		&& (!wanted.differences || told.size > 1);
}

function filter() {
	const values = new FormData(form);
	const boxes = form.querySelector("[name=target]");
	const shown = new Set(boxes ? values.getAll("target") : ["0"]);
	const wanted = Object.fromEntries(values);
	wanted.text = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
	for (const cell of table.querySelectorAll("[data-t]"))
		cell.hidden = !shown.has(cell.dataset.t);
	let count = 0;
	for (const row of rows) {
		row.hidden = !fits(row, wanted, shown);
		count += !row.hidden;
	}
	document.getElementById("count").textContent = `${count} of ${rows.length} requirements`;
	if (!current || current.closest("[hidden]"))
		stand(table.querySelector("tbody tr:not([hidden]) > td:not([hidden]) > button"));
}

/* The head of the table stays below the filters. */
const fit = () => table.style.setProperty("--bar", `${form.offsetHeight - 1}px`);
new ResizeObserver(fit).observe(form);

form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
filter();
follow();
})();
