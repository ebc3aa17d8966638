// Draws the payer's form with lforms, and shows beside it what the server says: why a question is asked, where its
// answer came from, which criteria are met. Every verdict and every origin is the server's; this script holds nothing.
const form = document.getElementById("form");
const summary = document.getElementById("summary");
const message = document.getElementById("message");
const decision = document.getElementById("decision");
const documents = document.getElementById("documents");
const { visit, csrf } = form.dataset;
const BADGES = { auto: "Auto-filled", override: "Edited from record" };
let content;
let origins = {};
let last = "";
const dropped = new Set();

const answers = () => LForms.Util.getFormFHIRData("QuestionnaireResponse", "R4", form).item ?? [];
const linkIdOf = (item) => item.id.replace(/^item-/, "").replace(/(\/\d+)+$/, "");
// Where a date without its day stands unseen, the server keeps it unless it is named here.
const posted = () => ({ item: answers(), dropped: [...dropped] });
const itemsOf = (linkId) => [...form.querySelectorAll("lhc-item")].filter((item) => linkIdOf(item) === linkId);

const UNREACHED = "The server could not be reached. Your answers are still on this page: try again in a moment.";

// What a network or a proxy in between says is nothing for a user.
const ask = async (name, body) => {
  const response = await fetch(`${visit}/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  }).catch(() => {
    throw new Error(UNREACHED);
  });
  const told = await response.json().catch(() => {
    throw new Error(UNREACHED);
  });
  if (!response.ok && response.status !== 422) {
    throw new Error(told.error ?? "The server could not do it. Try again in a moment.");
  }
  return told;
};

// What is put into lforms' own elements is put there again whenever lforms has drawn them anew.
const decorate = () => {
  for (const item of form.querySelectorAll("lhc-item")) {
    const linkId = linkIdOf(item);
    const origin = (origins[linkId] ?? "").split("-")[0];
    const label = item.querySelector(":scope > lhc-item-question .lhc-question");
    let badge = label?.querySelector(":scope > .badge");
    if (label && !badge && BADGES[origin]) {
      badge = label.appendChild(document.createElement("span"));
    }
    if (badge) {
      badge.className = `badge ${origin}`;
      badge.textContent = BADGES[origin] ?? "";
      badge.hidden = !BADGES[origin];
    }
    if (content.about[linkId] && !item.querySelector(":scope > .about")) {
      const about = document.createElement("div");
      about.className = "about";
      about.id = `about-${item.id}`;
      about.innerHTML = content.about[linkId]; // made and escaped by the server
      const leaveOut = about.querySelector("[data-partial]");
      leaveOut?.setAttribute("aria-pressed", String(dropped.has(linkId)));
      item.querySelector(":scope > lhc-item-question")?.after(about);
    }
    const group = item.querySelector(":scope > lhc-item-question [role=radiogroup]");
    if (group && content.about[linkId]) {
      group.setAttribute("aria-describedby", `about-${item.id}`);
    }
  }
  for (const name of ["aria-controls", "aria-describedby"]) {
    for (const element of form.querySelectorAll(`[${name}]`)) {
      if (!document.getElementById(element.getAttribute(name))) {
        element.removeAttribute(name);
      }
    }
  }
};

const show = (told) => {
  document.getElementById("criteria").innerHTML = told.criteria;
  origins = told.origins;
  const open = document.querySelector("#criteria [data-status=open]") || documents.querySelector("[data-remove]");
  documents.hidden = !open;
  decorate();
};

// Documents that go with the request: the server keeps them, and says what is left to offer.
const changeDocuments = async (name, body) => {
  const told = await ask(name, body);
  documents.innerHTML = told.documents;
  document.getElementById("documents-title").focus();
  return told.message;
};

const addFile = async () => {
  const input = document.getElementById("file");
  const [file] = input.files;
  if (!file || file.size > Number(input.dataset.most)) {
    return file ? "The file is too large." : "Choose a file first.";
  }
  const read = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file could not be read."));
    reader.readAsDataURL(file);
  });
  return changeDocuments("add-file", { name: file.name, data: read.slice(read.indexOf(",") + 1) });
};

const refresh = async () => {
  decorate();
  const now = JSON.stringify(posted());
  if (now !== last) {
    last = now;
    try {
      show(await ask("check", JSON.parse(now)));
    } catch (error) {
      message.textContent = error.message;
    }
  }
};

const complain = (html) => {
  summary.hidden = !html;
  summary.innerHTML = html ?? "";
  if (html) {
    summary.focus();
  }
};

// The questions that come next are in the form when the page draws it anew; the server holds the answers.
const goOn = async (name, body) => {
  const told = await ask(name, body);
  show(told);
  if (told.more) {
    location.reload();
    return null;
  }
  return told;
};

const send = async (incomplete) => {
  const told = await goOn("submit", { ...posted(), incomplete });
  if (!told) {
    return "One moment.";
  }
  complain(told.summary);
  decision.innerHTML = told.decision ?? "";
  if (told.decision) {
    decision.focus();
  }
  document.title = `${told.summary ? "Please check: " : ""}${document.title.replace("Please check: ", "")}`;
  return told.decision ? "The payer has answered: see above." : "";
};

const next = async () => {
  const told = await goOn("next", posted());
  complain(told?.summary);
  return told ? "" : "One moment.";
};

// What is approved needs no second request.
const approved = (button) => button.id === "send" && decision.querySelector("[data-status=approved]") !== null;

const busy = (button, act) => async () => {
  button.disabled = true;
  message.textContent = "One moment.";
  try {
    message.textContent = (await act()) ?? "";
  } catch (error) {
    message.textContent = error.message;
  }
  button.disabled = approved(button);
};

const save = async () => {
  const told = await ask("draft", posted());
  documents.innerHTML = told.documents;
  return told.message;
};
const acts = { send: () => send(false), next, save };
const buttons = Object.keys(acts).map((id) => document.getElementById(id)).filter((button) => button);
for (const button of buttons) {
  button.addEventListener("click", busy(button, acts[button.id]));
}
form.addEventListener("click", (event) => {
  const { partial } = event.target.dataset;
  if (partial) {
    dropped.delete(partial) || dropped.add(partial);
    event.target.setAttribute("aria-pressed", String(dropped.has(partial)));
  }
});
documents.addEventListener("click", (event) => {
  const { add, remove } = event.target.dataset;
  if (add) {
    busy(event.target, () => changeDocuments("add-record", { record: add }))();
  } else if (remove) {
    busy(event.target, () => changeDocuments("remove-document", { record: remove }))();
  } else if (event.target.id === "add-file") {
    busy(event.target, addFile)();
  }
});
document.getElementById("print").addEventListener("click", () => window.print());
summary.addEventListener("click", (event) => {
  const question = event.target.dataset.question;
  if (event.target.id === "send-incomplete") {
    busy(event.target, () => send(true))();
  } else if (question) {
    event.preventDefault();
    itemsOf(question)[0]?.querySelector("input, textarea, select, button")?.focus();
  }
});

content = await (await fetch(`${visit}/content`, { headers: { Accept: "application/json" } })).json();
origins = content.origins;
form.textContent = "";
await LForms.Util.addFormToPage(content.questionnaire, form, { fhirVersion: "R4", questionnaireResponse: content.response });
last = JSON.stringify(posted());
decorate();
let waiting;
// Caught on the way down: lforms' radio buttons let no click come up again.
for (const name of ["input", "change", "click", "keyup", "focusout"]) {
  form.addEventListener(
    name,
    () => {
      clearTimeout(waiting);
      waiting = setTimeout(refresh, 200);
    },
    true,
  );
}
for (const button of buttons) {
  button.disabled = approved(button);
}
const [fresh] = content.fresh.flatMap(itemsOf);
fresh?.querySelector("input, textarea, select, button")?.focus();
document.documentElement.dataset.ready = "yes";
