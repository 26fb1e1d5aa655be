// One player: versions of one sound, heard at the same moment and equally loud.
//
// A page carries the data of a player as JSON in an element of the class "player"; `Players.mount(element, data)` builds
// one from data that came another way. Every `src` and `picture` may be any URL, also one that holds its content. The
// data's fields are described where they are made, in player.py.
"use strict";

const Players = (() => {
  const FADE = 0.012; // seconds of a switch: no click, and no gap
  const AHEAD = 0.03; // seconds until what was asked for begins
  const STEP = 2; // seconds that an arrow moves
  const players = [];
  let context = null; // of the sound, made at the first play: browsers want a gesture before it
  let sounding = null; // the one deck of the page that may be heard
  let active = null; // whom the keys speak to

  // What plays: all versions run together, and all but one are at silence.
  class Deck {
    constructor(versions, seconds, sounds = new Map()) {
      Object.assign(this, { versions, seconds, sounds, chosen: 0, place: 0, loop: true, running: null });
      this.changed = () => {}; // called after every change that can be seen
    }

    async load() {
      const decode = async ({ src }) => {
        const answer = await fetch(src);
        if (!answer.ok) throw new Error("This sound is not here any more.");
        return context.decodeAudioData(await answer.arrayBuffer());
      };
      const sound = (version) => {
        if (!this.sounds.has(version.src)) this.sounds.set(version.src, decode(version));
        return this.sounds.get(version.src);
      };
      this.buffers ??= await Promise.all(this.versions.map(sound));
    }

    async play() {
      context ??= new AudioContext();
      if (sounding !== this) sounding?.pause();
      sounding = this;
      await Promise.all([context.resume(), this.load()]);
      if (sounding === this && !this.running) this.start();
    }

    start() {
      const at = context.currentTime + AHEAD;
      if (this.place >= this.seconds - 0.01) this.place = 0;
      const master = new GainNode(context, { gain: 0 });
      master.gain.setValueAtTime(0, at);
      master.gain.linearRampToValueAtTime(1, at + FADE);
      master.connect(context.destination);
      const gains = this.versions.map((_, number) => new GainNode(context, { gain: this.level(number) }));
      const sources = this.buffers.map((buffer, number) => {
        const options = { buffer, loop: this.loop, loopStart: 0, loopEnd: this.seconds };
        const source = new AudioBufferSourceNode(context, options);
        source.connect(gains[number]).connect(master);
        source.start(at, this.place);
        return source;
      });
      const running = { begun: at - this.place, master, gains, sources };
      sources[0].onended = () => {
        if (this.running !== running) return;
        this.pause();
        this.place = 0;
        this.changed();
      };
      this.running = running;
      this.changed();
    }

    pause() {
      if (sounding === this) sounding = null; // also one that is still loading
      if (!this.running) return;
      this.place = this.position;
      const { master, sources } = this.running;
      this.running = null;
      master.gain.cancelScheduledValues(context.currentTime);
      master.gain.setTargetAtTime(0, context.currentTime, FADE / 4);
      for (const source of sources) source.stop(context.currentTime + 3 * FADE);
      this.changed();
    }

    toggle() {
      return this.running || sounding === this ? this.pause() : this.play();
    }

    // Go on where another deck is, and sound in its place if it sounds.
    follow(other) {
      this.place = Math.min(other.position, this.seconds);
      this.loop = other.loop;
      this.changed();
      if (other.running) this.play();
    }

    get position() {
      if (!this.running) return this.place;
      const since = Math.max(context.currentTime - this.running.begun, this.place);
      return this.loop ? since % this.seconds : Math.min(since, this.seconds);
    }

    seek(place) {
      const runs = this.running !== null;
      if (runs) this.pause();
      this.place = Math.min(Math.max(place, 0), this.seconds);
      if (runs) {
        sounding = this;
        this.start();
      }
      this.changed();
    }

    setLoop(loop) {
      const place = this.position; // before its meaning changes
      this.loop = loop;
      this.seek(place);
    }

    level(number) {
      return number === this.chosen ? 10 ** (this.versions[number].gain / 20) : 0;
    }

    choose(number) {
      this.chosen = number;
      this.running?.gains.forEach(({ gain }, other) => {
        gain.cancelScheduledValues(context.currentTime);
        gain.setValueAtTime(gain.value, context.currentTime);
        gain.linearRampToValueAtTime(this.level(other), context.currentTime + FADE);
      });
      this.changed();
    }
  }

  // Make an element: make("button", { type: "button" }, "Play").
  function make(tag, attributes = {}, ...children) {
    const space = ["svg", "path"].includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
    const element = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const button = (name, ...children) => make("button", { type: "button", class: name }, ...children);

  // The buttons: versions of one name share one, and differ in strength or in having a band.
  function grouped(versions) {
    const names = [...new Set(versions.map((version) => version.name))];
    return names.map((name) => {
      const members = versions.filter((version) => version.name === name);
      const strengths = [...new Set(members.map((member) => member.strength ?? 1))].sort((a, b) => a - b);
      return { name, members, strengths, hasBand: members.some((member) => member.band) };
    });
  }

  // The version of a group that comes nearest to what was asked for; the band counts more than the strength.
  function nearest({ members }, { strength, band }) {
    const far = (version) => (Boolean(version.band) === band ? 0 : 9) + Math.abs((version.strength ?? 1) - strength);
    return members.reduce((best, version) => (far(version) < far(best) ? version : best));
  }

  function waveform(peaks, highest) {
    const heights = peaks.map((peak) => Math.max((100 * peak) / highest, 1));
    return heights.map((height, x) => `M${x + 0.5} ${100 - height}V${100 + height}`).join("");
  }

  // Build a player in an element.
  function mount(root, data, deck = new Deck(data.versions, data.seconds)) {
    const { versions } = data;
    const groups = grouped(versions);
    const wish = { strength: 1, band: false };
    const highest = Math.max(1, ...versions.flatMap((version) => version.peaks));
    let group = groups[0];

    const play = button("play primary", "Play");
    const time = make("span", { class: "time" });
    const loop = button("toggle", "Loop");
    const heard = make("p", { class: "heard", "aria-live": "polite" });
    const choices = groups.map(({ name, members }, number) => {
      const key = number < 9 ? [make("kbd", { "aria-hidden": "true" }, String(number + 1))] : [];
      return button("version", make("span", {}, ...key, name), make("small", {}, members[0].note));
    });
    const path = make("path", { "vector-effect": "non-scaling-stroke" });
    const picture = make("img", { alt: "" });
    const cursor = make("div", { class: "cursor" });
    const place = make("input", { type: "range", min: 0, max: data.seconds, step: 0.1, "aria-label": "Place" });
    const strength = make("input", { type: "range", "aria-label": "Strength", step: 1, min: 0 });
    const strengthText = make("output");
    const strengthRow = make("label", { class: "strength" }, make("span", {}, "Strength"), strength, strengthText);
    const band = button("toggle", "Band");
    const downloads = make("span", { class: "row" });
    const wave = make("svg", { viewBox: "0 0 400 200", preserveAspectRatio: "none", "aria-hidden": "true" }, path);
    const stage = make("div", { class: "stage" }, wave, picture, cursor, place);
    const hint = data.hint ? [make("p", { class: "hint" }, data.hint)] : [];
    root.append(
      make("h3", {}, data.title), ...hint,
      make("div", { class: "row" }, play, time, heard, loop),
      make("div", { class: "versions", role: "group", "aria-label": `Versions of ${data.title}` }, ...choices),
      stage,
      make("div", { class: "row tools" }, strengthRow, band, downloads),
    );
    root.setAttribute("aria-label", data.title);

    function pick(next) {
      group = next;
      const version = nearest(group, wish);
      deck.choose(versions.indexOf(version));
      show(version);
    }

    // Draw what a choice changes.
    function show(version) {
      const full = version.strength === undefined || group.strengths.length < 2;
      const words = [version.name, ...(full ? [] : [`strength ${version.strength}`]), ...(version.band ? ["with band"] : [])];
      heard.textContent = words.join(", ");
      choices.forEach((choice, number) => choice.setAttribute("aria-pressed", groups[number] === group));
      wave.setAttribute("viewBox", `0 0 ${version.peaks.length} 200`);
      path.setAttribute("d", waveform(version.peaks, highest));
      picture.src = version.picture;
      strengthRow.hidden = group.strengths.length < 2;
      strength.max = group.strengths.length - 1;
      strength.value = group.strengths.indexOf(version.strength ?? 1);
      strengthText.textContent = version.strength ?? 1;
      strength.setAttribute("aria-valuetext", strengthText.textContent);
      band.hidden = !group.hasBand;
      band.setAttribute("aria-pressed", Boolean(version.band));
      const links = version.links ?? [{ text: "Download", href: version.src, download: version.file }];
      downloads.replaceChildren(...links.map(({ text, href, download }) => {
        const label = `${text} ${words.join(", ")}, of ${data.title}`;
        return make("a", { class: "button download", href, download, "aria-label": label }, text);
      }));
    }

    // Draw what time changes, as long as it does.
    function move() {
      const now = deck.position;
      cursor.style.left = `${(100 * now) / deck.seconds}%`;
      time.textContent = `${now.toFixed(1)} / ${deck.seconds.toFixed(1)} s`;
      place.value = now;
      place.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${deck.seconds.toFixed(1)} seconds`);
      if (deck.running) requestAnimationFrame(move);
    }

    deck.changed = () => {
      play.textContent = deck.running ? "Pause" : "Play";
      play.setAttribute("aria-label", `${play.textContent} ${data.title}`);
      loop.setAttribute("aria-pressed", deck.loop);
      move();
    };
    const player = {
      root, data, deck,
      toggle: async () => {
        try {
          await deck.toggle();
        } catch (error) {
          deck.pause();
          heard.textContent = error.message;
        }
      },
      choose: (number) => groups[number] && pick(groups[number]),
      step: (seconds) => deck.seek(deck.position + seconds),
      loop: () => deck.setLoop(!deck.loop),
    };
    play.onclick = player.toggle;
    loop.onclick = player.loop;
    choices.forEach((choice, number) => { choice.onclick = () => player.choose(number); });
    place.oninput = () => deck.seek(Number(place.value));
    strength.oninput = () => {
      wish.strength = group.strengths[strength.value];
      pick(group);
    };
    band.onclick = () => {
      wish.band = band.getAttribute("aria-pressed") !== "true";
      pick(group);
    };
    const first = versions.find((version) => version.chosen) ?? versions[0];
    Object.assign(wish, { strength: first.strength ?? 1, band: Boolean(first.band) });
    pick(groups.find(({ name }) => name === first.name));
    add(player);
    return player;
  }

  // Put a player in the place of another one, which sounds until its successor can.
  async function replace(player, data) {
    const deck = new Deck(data.versions, data.seconds, player.deck.sounds);
    if (player.deck.running) await deck.load();
    if (!players.includes(player)) return; // by another one, meanwhile
    if (data.versions.length === player.data.versions.length) { // a new one is heard at once, else what was
      data.versions.forEach((version, number) => { version.chosen = number === player.deck.chosen; });
    }
    remove(player);
    mount(player.root, data, deck);
    deck.follow(player.deck);
  }

  function remove(player) {
    players.splice(players.indexOf(player), 1);
    if (active === player) active = null;
    player.root.replaceChildren();
  }

  // Have the keys reach a player, when it is the last one that was touched.
  function add(player) {
    players.push(player);
    active ??= player;
    for (const event of ["pointerdown", "focusin"]) player.root.addEventListener(event, () => { active = player; });
  }

  // What a key would do by itself, where the focus is, comes first: a slider's arrows, a button's space.
  function onKey(event) {
    const focus = event.target;
    const typing = focus.matches("input:not([type=range], [type=radio]), textarea, select, [contenteditable]");
    if (event.ctrlKey || event.metaKey || event.altKey || typing || !active) return;
    const pressed = focus.matches(".version[aria-pressed=true]"); // chosen already: space has nothing to do there
    if (event.key === " ") {
      if (focus.matches("button, a, summary") && !pressed) return;
      active.toggle();
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (focus.matches("input")) return;
      active.step(event.key === "ArrowLeft" ? -STEP : STEP);
    } else if (event.key >= "1" && event.key <= "9") {
      active.choose(Number(event.key) - 1);
    } else if (event.key === "l" || event.key === "L") {
      active.loop();
    } else {
      return;
    }
    event.preventDefault();
  }

  document.addEventListener("keydown", onKey);
  for (const content of document.querySelectorAll(".player > script")) {
    mount(content.parentElement, JSON.parse(content.textContent));
  }
  return { Deck, add, button, make, mount, players, remove, replace };
})();
