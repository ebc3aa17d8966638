// Hides and disables questions that are not asked, as their answers change. The page works without it: the server
// leaves out answers to questions that are not asked.
"use strict";

(() => {
  const form = document.getElementById("payer-form");
  if (!form) {
    return;
  }
  const dependents = [...form.querySelectorAll("[data-when]")];

  const answersTo = (name) =>
    [...form.elements]
      .filter((field) => field.name === name && !field.matches(":disabled"))
      .filter((field) => !["radio", "checkbox"].includes(field.type) || field.checked)
      .map((field) => field.value)
      .filter((value) => value !== "");

  const holds = ({ name, operator, value }) => {
    const given = answersTo(name);
    if (operator === "exists") {
      return given.length > 0 === (value === "true");
    }
    if (given.length === 0) {
      return false;
    }
    return operator === "=" ? given[0] === value : given[0] !== value;
  };

  const show = (element, isAsked) => {
    element.hidden = !isAsked;
    const fields = element.matches("fieldset") ? [element] : element.querySelectorAll("input, select, textarea");
    for (const field of fields) {
      field.disabled = !isAsked;
    }
  };

  const refresh = () => {
    for (const element of dependents) {
      const { any, all } = JSON.parse(element.dataset.when);
      show(element, any ? all.some(holds) : all.every(holds));
    }
  };

  form.addEventListener("input", refresh);
  window.addEventListener("pageshow", refresh);
  refresh();
})();

document.querySelector(".summary")?.focus();
