// The same behaviours of coturn and of Pointsman, shown by coturn's own tools: `SUBJECT=coturn tests/run live parity.test.mjs` asks coturn,
// without SUBJECT Pointsman is asked. The table is in parity/table.mjs.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { WORLDS } from "./parity/table.mjs";
import { SUBJECT, World } from "./parity/world.mjs";

/** Runs at a time; each mostly waits for its tool. */
const CONCURRENCY = 10;

/** A world is started for its first row and stopped after its last. */
class Shared {
  constructor(world, users) {
    Object.assign(this, { world, users });
  }
  start() {
    this.started ??= this.world.start();
    return this.started;
  }
  async release() {
    if (--this.users > 0) return;
    const started = this.started;
    this.started = undefined;
    this.stopped = true;
    if (started) await this.world.stop();
  }
}

/** Tries a row; the last failure is told with the end of what the tool said. */
async function attempt(world, [name, tool, args, expect, { tries = 1, ms } = {}]) {
  for (let tried = 1; ; tried++) {
    const run = await world.tool(tool, args, ms);
    world.assertAlive();
    const wrong = expect(run);
    if (!wrong) return;
    if (tried >= tries) assert.fail(`${name}: ${wrong}\n${tool} ${args.join(" ")}\n${run.text.slice(-1_200)}`);
  }
}

const worlds = [];
describe(`${SUBJECT} as coturn's tools see it`, { concurrency: CONCURRENCY }, () => {
  after(() => Promise.all(worlds.filter((shared) => shared.started).map((shared) => shared.world.stop())));
  for (const [title, { rows, then, ...setting }] of Object.entries(WORLDS)) {
    const asked = rows.filter(([, , , , options]) => SUBJECT !== "coturn" || !options?.beyond);
    const shared = new Shared(new World(setting), asked.length);
    worlds.push(shared);
    for (const row of asked)
      it(`${title}: ${row[0]}`, async () => {
        try {
          const world = await shared.start();
          await attempt(world, row);
          if (then) await attempt(world, [`${row[0]}, then service as usual`, ...then, { tries: 3 }]);
        } finally {
          await shared.release();
        }
      });
  }
});
