// A network namespace with a TURN server in it (coturn or Pointsman, started from one and the same turnserver.conf), a peer that echoes, and
// coturn's tools beside them.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BINARY, sleep, until } from "../lab.mjs";

export const SUBJECT = process.env.SUBJECT ?? "pointsman";
if (!["coturn", "pointsman"].includes(SUBJECT)) throw new Error(`SUBJECT is coturn or pointsman, not ${SUBJECT}`);

/** Addresses of a namespace besides loopback. */
export const HOSTS = { server: "10.99.0.1", second: "10.99.0.2", client: "10.99.0.3", public: "203.0.113.1" };
const SERVER_START_MS = 60_000;

const ip = (...args) => execFileSync("ip", args, { stdio: "pipe" });
const subject = (command, args) => (SUBJECT === "coturn" ? [command, args] : [BINARY, [command, ...args]]);

/** Runs a program and tells how it ended and what it said. */
function run(command, args, ms) {
  return new Promise((done) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    const add = (piece) => {
      // A tool that goes wild writes without end; its last words are enough.
      text = (text + piece).slice(-200_000);
    };
    child.stdout.on("data", add);
    child.stderr.on("data", add);
    const timer = setTimeout(() => child.kill("SIGKILL"), ms);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      done({ code, signal, text });
    });
  });
}

let count = 0;

export class World {
  /** `lines`: of turnserver.conf, after the usual ones; `${cert}` and `${key}` in them are files. `database`: calls of turnadmin before the
   * start; `sql`: statements for what it cannot write. */
  constructor({ lines, address = "127.0.0.1", database = [], sql = () => [] }) {
    Object.assign(this, { lines, address, database, sql, space: `pmpar${process.pid}n${count++}` });
    this.children = [];
  }

  async start() {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), "pointsman-parity-"));
    this.cert = path.join(this.dir, "cert.pem");
    this.key = path.join(this.dir, "key.pem");
    ip("netns", "add", this.space);
    ip("-n", this.space, "link", "set", "lo", "up");
    for (const host of Object.values(HOSTS)) ip("-n", this.space, "addr", "add", `${host}/32`, "dev", "lo");
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,IP:::1",
      "-keyout", this.key, "-out", this.cert], { stdio: "ignore" });
    this.#file();
    for (const args of this.database) await this.#admin(args);
    const statements = this.sql().join("\n");
    if (statements) execFileSync("python3", ["-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])", `${this.dir}/turndb`, statements]);
    const [command, args] = subject("turnserver", ["-c", `${this.dir}/turnserver.conf`]);
    this.server = this.#spawn(command, args);
    this.#spawn("turnutils_peer", ["-L", "127.0.0.1", "-L", "::1", "-L", HOSTS.client]);
    await until(`${SUBJECT} answers`, SERVER_START_MS, async () => {
      this.assertAlive();
      const { text } = await this.tool("turnutils_stunclient", [this.address], 5_000);
      return /reflexive addr|error 401/.test(text);
    }).catch((error) => {
      throw new Error(`${error.message}\n${this.said().slice(-3_000)}`, { cause: error });
    });
    return this;
  }

  #file() {
    const usual = ["listening-port=3478", "tls-listening-port=5349", "min-port=40000", "max-port=60000", "fingerprint", "realm=example.org", `cert=${this.cert}`, `pkey=${this.key}`,
      `log-file=${this.dir}/log`, "simple-log", "no-cli", `pidfile=${this.dir}/pid`, `userdb=${this.dir}/turndb`];
    const fill = (line) => line.replaceAll("${cert}", this.cert).replaceAll("${key}", this.key);
    fs.writeFileSync(`${this.dir}/turnserver.conf`, [...usual, ...this.lines.map(fill), ""].join("\n"));
  }

  async #admin(args) {
    const [command, all] = subject("turnadmin", [...args, "-b", `${this.dir}/turndb`]);
    const { code, text } = await run(command, all, 20_000);
    if (code !== 0) throw new Error(`turnadmin ${args.join(" ")} ended with ${code}: ${text}`);
  }

  #spawn(command, args) {
    const out = fs.openSync(`${this.dir}/${path.basename(command)}.out`, "a");
    const child = spawn("ip", ["netns", "exec", this.space, command, ...args], { stdio: ["ignore", out, out] });
    this.children.push(child);
    return child;
  }

  /** What the server wrote. */
  said() {
    const files = fs.readdirSync(this.dir).filter((file) => file.endsWith(".out") || file.startsWith("log"));
    return files.map((file) => fs.readFileSync(path.join(this.dir, file), "utf8")).join("\n");
  }

  assertAlive() {
    const { exitCode, signalCode } = this.server;
    if (exitCode !== null || signalCode !== null) throw new Error(`the server ended (${exitCode ?? signalCode}):\n${this.said().slice(-3_000)}`);
  }

  /** Runs one of coturn's tools beside the server. */
  tool(command, args, ms = 90_000) {
    const fill = (arg) => arg.replaceAll("${cert}", this.cert).replaceAll("${key}", this.key);
    return run("ip", ["netns", "exec", this.space, command, ...args.map(fill)], ms);
  }

  async stop() {
    for (const child of this.children) child.kill("SIGTERM");
    const gone = () => this.children.every((child) => child.exitCode !== null || child.signalCode !== null);
    await until("the server and its peer end", 10_000, async () => gone()).catch(() => this.children.forEach((child) => child.kill("SIGKILL")));
    await sleep(50);
    const panicked = /panicked at/.test(this.said()) && this.said().slice(-3_000);
    ip("netns", "del", this.space);
    fs.rmSync(this.dir, { recursive: true, force: true });
    if (panicked) throw new Error(panicked);
  }
}
