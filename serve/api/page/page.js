"use strict";

const at = (id) => document.getElementById(id);
const both = (en, ja) => {
  const pair = document.createDocumentFragment();
  for (const [lang, text] of [["en", en], ["ja", ja]]) {
    const span = document.createElement("span");
    span.lang = lang;
    span.textContent = text;
    pair.append(span);
  }
  return pair;
};
const show = (id, content) => at(id).replaceChildren(content);

const meanings = {
  ALLOW: ["Answered", "回答します"],
  ESCALATION: ["A person should decide", "担当者の判断が必要です"],
  DENY: ["Not permitted", "許可されていません"],
  REFUSE: ["Refused", "お断りします"],
};
const endings = {
  stop: ["its own end", "モデルによる終了"],
  length: ["the bound of tokens", "トークン数の上限"],
  content_filter: ["the filter", "フィルター"],
};
const failures = {
  401: ["An API key is needed: enter it under “Key and user”.", "APIキーが必要です。「キーとユーザー」に入力してください。"],
  429: ["The server is busy. Try again in a moment.", "混み合っています。しばらくしてからお試しください。"],
  503: ["The server is not ready. Try again in a moment.", "準備中です。しばらくしてからお試しください。"],
  504: ["The answer took too long.", "時間内に回答できませんでした。"],
};

const root = document.documentElement;
root.lang = navigator.language.startsWith("ja") ? "ja" : "en";
at("language").addEventListener("click", () => { root.lang = root.lang === "ja" ? "en" : "ja"; });

let running = null;

at("stop").addEventListener("click", () => running?.abort());
at("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running) return;
  running = new AbortController();
  const begun = performance.now();
  const elapsed = () => ((performance.now() - begun) / 1000).toFixed(2) + " s";
  const clock = setInterval(() => show("clock", elapsed()), 100);
  at("send").disabled = true;
  at("stop").hidden = false;
  at("failure").hidden = at("result").hidden = true;
  try {
    const headers = { "Content-Type": "application/json" };
    if (at("key").value) headers.Authorization = "Bearer " + at("key").value;
    const response = await fetch("think", {
      method: "POST", headers, signal: running.signal, body: JSON.stringify({ user_id: at("user").value, query: at("query").value }),
    });
    const reply = await response.json();
    if (response.ok) {
      present(reply, elapsed());
    } else {
      fail(...(failures[response.status] ?? [reply.error.message, reply.error.message]));
    }
  } catch (error) {
    if (error.name !== "AbortError") fail("The server cannot be reached.", "サーバーに接続できません。");
  } finally {
    clearInterval(clock);
    show("clock", "");
    at("send").disabled = false;
    at("stop").hidden = true;
    running = null;
  }
});

function present(reply, took) {
  at("result").dataset.label = reply.safety_label;
  show("label", reply.safety_label);
  show("meaning", both(...(meanings[reply.safety_label] ?? ["", ""])));
  at("bar").style.width = reply.safety_conf * 100 + "%";
  show("confidence", (reply.safety_conf * 100).toFixed(1) + " %");
  show("answer", reply.answer);
  show("latency", took);
  show("escalated", reply.escalated ? both("yes", "はい") : both("no", "いいえ"));
  show("finish", both(...(endings[reply.finish_reason] ?? [reply.finish_reason, reply.finish_reason])));
  show("model", reply.model.replace("sha256:", "").slice(0, 12));
  show("request", reply.request_id);
  show("hash", reply.internal_reasoning_hash);
  at("result").hidden = false;
}

function fail(en, ja) {
  show("failure", both(en, ja));
  at("failure").hidden = false;
}
