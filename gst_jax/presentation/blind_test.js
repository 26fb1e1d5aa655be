// The blind test: ten pairs of versions without their names, two questions of each, the answers as a file.
"use strict";

(() => {
  const PAIRS = 10;
  const { Deck, add, button, make, players: mounted } = Players;

  const words = (version) =>
    [version.name, ...(version.strength === undefined ? [] : [`strength ${version.strength}`]), ...(version.band ? ["band"] : [])].join(", ");

  function shuffled(items) {
    const left = [...items];
    const out = [];
    while (left.length) out.push(...left.splice(Math.floor(Math.random() * left.length), 1));
    return out;
  }

  // Draw pairs of a random player each; what they were made from, the first version, is there to compare with.
  function draw(players) {
    const usable = players.filter(({ data }) => data.target && data.versions.length > 2);
    const all = usable.flatMap(({ data }) => {
      const made = data.versions.slice(1);
      return made.flatMap((a, number) => made.slice(number + 1).map((b) => ({ data, versions: shuffled([a, b]) })));
    });
    return shuffled(all).slice(0, PAIRS);
  }

  // A question with the answers A, B, and neither.
  function question(name, text) {
    const field = make("fieldset", {}, make("legend", {}, text));
    for (const [value, label] of [["a", "A"], ["b", "B"], ["neither", "Can't tell"]]) {
      field.append(make("label", { class: "button" }, make("input", { type: "radio", name, value }), label));
    }
    return field;
  }

  function mountTest(root) {
    const players = [...mounted]; // those of the page, before this one is added
    const begin = button("primary", "Begin");
    const body = make("div", { class: "test", tabindex: "-1" });
    root.append(body, begin);
    let deck = null;
    let shown = () => {};

    const keys = {
      root,
      toggle: () => deck?.toggle(),
      choose: (number) => deck && number < 3 && shown(number),
      step: (seconds) => deck?.seek(deck.position + seconds),
      loop: () => deck?.setLoop(!deck.loop),
    };
    add(keys);

    function ask(pairs, number, answers) {
      const { data, versions } = pairs[number];
      deck = new Deck([...versions, data.versions[0]], data.seconds);
      const play = button("play primary", "Play");
      const choices = ["A", "B", "Original"].map((name, place) =>
        button("version", make("span", {}, make("kbd", { "aria-hidden": "true" }, String(place + 1)), name)));
      const next = button("next primary", number + 1 < pairs.length ? "Next pair" : "Finish");
      const questions = [
        question("more_like", `Which is more like ${data.target}?`),
        question("keeps_tune", "Which keeps the tune of the original?"),
      ];
      next.disabled = true;
      body.replaceChildren(
        make("h3", {}, `Pair ${number + 1} of ${pairs.length}`),
        make("div", { class: "row" }, play),
        make("div", { class: "versions", role: "group", "aria-label": "What is heard" }, ...choices),
        ...questions, make("div", { class: "row" }, next),
      );
      shown = (place) => {
        deck.choose(place);
        choices.forEach((choice, other) => choice.setAttribute("aria-pressed", other === place));
      };
      deck.changed = () => { play.textContent = deck.running ? "Pause" : "Play"; };
      shown(0);
      play.onclick = keys.toggle;
      choices.forEach((choice, place) => { choice.onclick = () => shown(place); });
      const answer = (name) => body.querySelector(`input[name=${name}]:checked`)?.value;
      body.onchange = () => { next.disabled = !(answer("more_like") && answer("keeps_tune")); };
      next.onclick = () => {
        deck.pause();
        const [a, b] = versions.map(words);
        const said = { song: data.title, target: data.target, a, b };
        answers.push({ ...said, more_like_target: answer("more_like"), keeps_tune: answer("keeps_tune") });
        if (number + 1 < pairs.length) ask(pairs, number + 1, answers);
        else finish(answers);
      };
      body.focus();
    }

    function finish(answers) {
      deck = null;
      const result = { page: document.title, date: new Date().toISOString().slice(0, 10), pairs: answers };
      const text = JSON.stringify(result, null, 1);
      const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      const rows = answers.map(({ song, a, b, more_like_target, keeps_tune }) => {
        const named = { a, b, neither: "neither" };
        return make("li", {}, `${song}: ${a} against ${b}. More like the genre: ${named[more_like_target]}; `
          + `keeps the tune: ${named[keeps_tune]}.`);
      });
      const save = make("a", { class: "button primary", href: url, download: "blind_test.json" }, "Save as JSON");
      begin.textContent = "Begin again";
      begin.hidden = false;
      const row = make("div", { class: "row" }, save, begin);
      body.replaceChildren(make("h3", {}, "What you heard"), make("ol", {}, ...rows), row);
      body.focus();
    }

    begin.onclick = () => {
      begin.hidden = true;
      ask(draw(players), 0, []);
    };
  }

  for (const root of document.querySelectorAll(".blind-test")) mountTest(root);
})();
