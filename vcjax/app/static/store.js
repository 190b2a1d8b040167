// The document with its undo history: snapshots without limit, each kept in the browser's storage as soon as it is made.

const INDEX = "vcjax.history";
const snapshotKey = (number) => `${INDEX}.${number}`;

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // as where there is nothing: the document begins anew
  }
}

/** A document, what it was before, and what was undone. */
export class Store {
  /**
   * @param {Storage} storage where the history is kept.
   * @param {object} empty document to begin with.
   */
  constructor(storage, empty) {
    this.storage = storage;
    this.listeners = new Set();
    this.snapshots = [];
    this.offset = 0; // number, in the storage, of the first snapshot in memory
    this.now = 0; // index of the current snapshot in memory
    this.kept = 0; // number of the first snapshot in the storage
    this.#load(empty);
    this.doc = JSON.parse(this.snapshots[this.now]);
  }

  get canUndo() {
    return this.now > 0 || this.#edited();
  }

  get canRedo() {
    return this.now < this.snapshots.length - 1 && !this.#edited();
  }

  /** Call a function after each change. */
  subscribe(listener) {
    this.listeners.add(listener);
  }

  /** Change the document as part of something that is not finished, such as a drag: no step of undo yet. */
  edit(mutate) {
    const doc = structuredClone(this.doc);
    mutate(doc);
    this.doc = doc;
    this.#announce();
  }

  /** Make what was edited one step of undo. */
  commit() {
    const text = JSON.stringify(this.doc);
    if (text === this.snapshots[this.now]) return;
    const removed = this.snapshots.splice(this.now + 1).length;
    for (let i = 1; i <= removed; i++) this.storage.removeItem(snapshotKey(this.offset + this.now + i));
    this.snapshots.push(text);
    this.now += 1;
    this.#keep();
    this.#announce();
  }

  /** Change the document in one step of undo. */
  change(mutate) {
    this.commit();
    this.edit(mutate);
    this.commit();
  }

  /** Drop what was edited since the last step. */
  revert() {
    this.doc = JSON.parse(this.snapshots[this.now]);
    this.#announce();
  }

  undo() {
    this.commit();
    this.#go(this.now - 1);
  }

  redo() {
    this.commit();
    this.#go(this.now + 1);
  }

  #go(index) {
    if (index < 0 || index >= this.snapshots.length) return;
    this.now = index;
    this.doc = JSON.parse(this.snapshots[index]);
    this.#keepIndex();
    this.#announce();
  }

  #edited() {
    return JSON.stringify(this.doc) !== this.snapshots[this.now];
  }

  #announce() {
    for (const listener of this.listeners) listener(this.doc);
  }

  /** Take what the storage holds without a gap around the current snapshot; another window may have removed some. */
  #load(empty) {
    const { first, now, last } = parsed(this.storage.getItem(INDEX)) ?? {};
    const current = this.#stored(now);
    this.snapshots = [current ?? JSON.stringify(empty)];
    this.offset = this.kept = current ? now : 0;
    if (!current) return this.#keep();
    for (let text; this.offset > first && (text = this.#stored(this.offset - 1)); this.offset--) this.snapshots.unshift(text);
    this.now = now - this.offset;
    this.kept = this.offset;
    for (let text; this.offset + this.snapshots.length <= last && (text = this.#stored(this.offset + this.snapshots.length)); ) this.snapshots.push(text);
  }

  #stored(number) {
    const text = this.storage.getItem(snapshotKey(number));
    return parsed(text)?.request?.conditions ? text : null;
  }

  /** Store the current snapshot; where the browser's quota refuses it, the oldest ones make room. */
  #keep() {
    const number = this.offset + this.now;
    for (;;) {
      try {
        this.storage.setItem(snapshotKey(number), this.snapshots[this.now]);
        this.#keepIndex();
        return;
      } catch (error) {
        if (error.name !== "QuotaExceededError" || this.kept >= number) throw error;
        this.storage.removeItem(snapshotKey(this.kept));
        this.kept += 1;
      }
    }
  }

  #keepIndex() {
    const [now, last] = [this.offset + this.now, this.offset + this.snapshots.length - 1];
    this.storage.setItem(INDEX, JSON.stringify({ first: Math.min(this.kept, now), now, last }));
  }
}
