// Requests on the server: generating, previews of conditions, and the events that say how far they are.

import { cancelJob, deleteJob, getJob, getJobs, listen, submit, submitPreview } from "./api.js";
import { debounced } from "./dom.js";
import { emptyDocument } from "./request.js";

const PREVIEW_DELAY = 600; // milliseconds after the last change
const LARGEST_SEED = 2 ** 31;
const KEPT_PREVIEWS = 20;
const PAGE = 50;

export const isFinished = (job) => ["done", "failed", "cancelled"].includes(job?.state);

/** Return a seed by chance. */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % LARGEST_SEED;

/** Jobs of the server. */
export class Jobs {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.all = new Map(); // videos by id
    this.estimates = new Map(); // estimated frames by id
    this.previews = new Map(); // previews of conditions by id, the newest only
    this.preview = null; // the newest preview that is done
    this.asked = null; // id of the preview that was asked for last
    this.previewed = JSON.stringify(emptyDocument().request); // what was previewed last, as text
    this.hasMore = false;
    this.askLater = debounced(() => this.askPreview(), PREVIEW_DELAY);
    app.store.subscribe(() => this.askLater());
  }

  /** Receive events for as long as the page is open. */
  start() {
    listen({
      open: () => this.update(),
      job: (job) => this.receive(job),
      estimate: (estimate) => {
        this.estimates.set(estimate.id, estimate);
        this.app.refresh();
      },
      removed: ({ id }) => this.forget(id),
      health: (health) => {
        this.health = health;
        this.app.refresh();
      },
      error: () => {
        this.health = null;
        this.app.refresh();
      },
    });
    this.askPreview();
  }

  /** Return videos, the newest first. */
  list() {
    return [...this.all.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** Return those that wait or are sampled, the first in the queue first. */
  active() {
    return this.list().filter((job) => !isFinished(job)).reverse();
  }

  /** Whether pictures of the conditions are on their way. */
  get reads() {
    return JSON.stringify(this.app.doc.request) !== this.previewed || Boolean(this.asked && !isFinished(this.previews.get(this.asked)));
  }

  get open() {
    return this.all.get(this.app.view.job) ?? null;
  }

  /** Ask for what may have changed while there was no connection. */
  async update() {
    try {
      const jobs = await getJobs(null, PAGE);
      this.hasMore = jobs.length === PAGE;
      const oldest = jobs.at(-1)?.id ?? "";
      for (const id of [...this.all.keys()]) if (id >= oldest && !jobs.some((job) => job.id === id)) this.all.delete(id);
      jobs.forEach((job) => this.receive(job));
      const { job: open } = this.app.view;
      if (open && !this.all.has(open)) await getJob(open).then((job) => this.receive(job), () => this.app.setView({ job: null }));
      if (this.asked && !isFinished(this.previews.get(this.asked))) this.receive(await getJob(this.asked));
    } catch (error) {
      this.app.report(error);
    }
    this.app.refresh();
  }

  async more() {
    const oldest = this.list().at(-1)?.id;
    const jobs = await this.attempt(() => getJobs(oldest, PAGE));
    if (!jobs) return;
    this.hasMore = jobs.length === PAGE;
    jobs.forEach((job) => this.receive(job));
  }

  receive(job) {
    if (job.kind === "preview") this.receivePreview(job);
    else this.receiveVideo(job);
    this.app.refresh();
  }

  receiveVideo(job) {
    const before = this.all.get(job.id);
    if (before && isFinished(before) && !isFinished(job)) return; // an event that was overtaken
    this.all.set(job.id, job);
    const own = this.app.view.jobs.includes(job.id);
    if (!isFinished(job) || isFinished(before)) return;
    this.estimates.delete(job.id);
    if (own) this.conclude(job);
  }

  /** Say how a request of this page ended. */
  conclude(job) {
    this.app.setView({ jobs: this.app.view.jobs.filter((id) => id !== job.id) });
    if (job.state === "done") this.finished(job);
    if (job.state === "failed") this.app.report({ message: job.error, field: job.field });
    if (job.state === "cancelled") this.app.speak("Cancelled.");
  }

  finished(job) {
    const isSeen = this.app.view.tab === "result" && this.app.view.job === job.id;
    const sentence = `The video is done after ${job.seconds.toFixed(1)} s.`;
    if (isSeen) this.app.speak(sentence);
    else this.app.announce(sentence);
    for (const warning of job.warnings) if (!this.app.banner.includes(warning)) this.app.banner = [...this.app.banner, warning];
    if (job.id === this.app.view.job && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.app.clock.play();
  }

  receivePreview(job) {
    this.previews.set(job.id, job);
    while (this.previews.size > KEPT_PREVIEWS) this.previews.delete(this.previews.keys().next().value);
    if (job.id !== this.asked || !isFinished(job) || job === this.preview) return;
    if (job.state === "done") {
      this.preview = job;
      this.app.clearErrors();
    } else if (job.state === "failed") {
      this.app.errors = {};
      this.app.report({ message: job.error, field: job.field });
    }
  }

  forget(id) {
    this.all.delete(id);
    this.estimates.delete(id);
    const { view } = this.app;
    this.app.setView({ job: view.job === id ? null : view.job, compare: view.compare.filter((each) => each !== id) });
  }

  /** Ask for pictures of the conditions, and so for errors of the request, where it has changed. */
  async askPreview() {
    const { request } = this.app.doc;
    const text = JSON.stringify(request);
    if (text === this.previewed) return;
    this.previewed = text;
    try {
      const job = await submitPreview(request);
      if (this.previewed !== text) return;
      this.asked = job.id;
      this.receivePreview(this.previews.get(job.id) ?? job);
    } catch (error) {
      if (this.previewed !== text) return;
      this.asked = null;
      this.app.errors = {};
      this.app.report(error);
    }
    this.app.refresh();
  }

  /** Send the document's request, or another one, and open what comes of it. */
  async generate(request = null) {
    const { app } = this;
    app.editor.end();
    await app.saving;
    const sent = structuredClone(request ?? app.doc.request);
    if (!request && app.view.newSeed) sent.seeds = [randomSeed()];
    app.announce("Sending the request …");
    try {
      const job = await submit(sent);
      app.errors = {};
      const known = this.all.get(job.id);
      app.setView({ job: job.id, tab: "result", jobs: [...app.view.jobs, job.id], compare: [] });
      if (!known) this.receive(job);
      else if (isFinished(known)) this.conclude(known);
      app.announce("");
      if (!isFinished(known)) app.speak("The request is in the queue.");
    } catch (error) {
      this.previewed = null; // so that the error goes when its cause does
      app.announce("");
      app.report(error);
      app.goToError(error.field);
    }
  }

  /** Sample a request once more with another seed. */
  again(job) {
    return this.generate({ ...job.request, seeds: [randomSeed()] });
  }

  async cancel(job) {
    const state = await this.attempt(() => cancelJob(job.id));
    if (state) this.receive(state);
  }

  async remove(job) {
    await this.attempt(() => deleteJob(job.id).then(() => this.forget(job.id)));
  }

  async attempt(action) {
    try {
      return await action();
    } catch (error) {
      this.app.report(error);
      return null;
    }
  }
}
