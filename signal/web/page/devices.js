// Our own camera and microphone: which, whether they are on, and what is published of them. In the lobby and in the call.
import { $, make, relabel } from "/page/make.js";
import { banner, tellError } from "/page/notices.js";

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const KINDS = [["camera", "videoinput", "Camera"], ["microphone", "audioinput", "Microphone"], ["speaker", "audiooutput", "Speaker"]];

export class Devices extends EventTarget {
  /** @type {MediaStreamTrack | null} */
  camera = null;
  /** @type {MediaStreamTrack | null} */
  microphone = null;
  cameraOn = true;
  microphoneOn = true;
  /** What the browser itself can blur behind us. */
  blur = false;
  /** Where sound comes out; "": the usual way. */
  speaker = "";
  /** @type {import("/client/pointsman.js").LocalPublication | null} */
  cameraPublication = null;
  /** @type {import("/client/pointsman.js").LocalPublication | null} */
  microphonePublication = null;
  /** @type {import("/page/call.js").Call | null} */
  call = null;
  #wanted = { camera: "", microphone: "" };

  get sendsMicrophone() {
    return Boolean(this.microphoneOn && this.microphone);
  }

  #changed() {
    this.dispatchEvent(new Event("changed"));
  }

  /** Opens what is wanted and missing; without a camera still the microphone, and the other way round. Returns what to tell the user. */
  async open() {
    const chosen = (kind) => (this.#wanted[kind] ? { deviceId: { exact: this.#wanted[kind] } } : {});
    const want = { video: this.cameraOn && !this.camera && { ...VIDEO, ...chosen("camera") }, audio: !this.microphone && { ...AUDIO, ...chosen("microphone") } };
    if (!want.video && !want.audio) return "";
    if (!navigator.mediaDevices?.getUserMedia) {
      return "This page was not loaded over HTTPS, so the browser gives it no camera and no microphone. You can join to watch and listen.";
    }
    const open = async (constraints) => {
      for (const track of (await navigator.mediaDevices.getUserMedia(constraints)).getTracks()) {
        track.kind === "video" ? this.#useCamera(track) : this.#useMicrophone(track);
      }
    };
    try {
      await open({ video: want.video || false, audio: want.audio || false });
      return "";
    } catch (error) {
      if (!want.video || !want.audio) return trouble(error, want.video ? "camera" : "microphone");
      if (error.name === "NotAllowedError") return trouble(error, "camera and microphone");
      const troubles = [];
      await open({ audio: want.audio }).catch((reason) => troubles.push(trouble(reason, "microphone")));
      await open({ video: want.video }).catch((reason) => troubles.push(trouble(reason, "camera")));
      return troubles.join(" ");
    } finally {
      this.#changed();
    }
  }

  #useCamera(track) {
    this.camera = track;
    track.contentHint = "motion";
    track.addEventListener("ended", () => this.camera === track && this.setCamera(false)); // unplugged, or permission withdrawn
    if (this.blur) this.setBlur(true);
  }

  #useMicrophone(track) {
    this.microphone = track;
    track.enabled = this.microphoneOn;
  }

  /** Chooses a device; the one that is in use is replaced. */
  async choose(kind, deviceId) {
    if (kind === "speaker") {
      this.speaker = deviceId;
      return this.#changed();
    }
    this.#wanted[kind] = deviceId;
    this[kind]?.stop();
    this[kind] = null;
    this.tell(await this.open());
    const publication = this[`${kind}Publication`];
    if (publication) await this.call?.room.replaceTrack(publication, this[kind]).catch(tellError);
    this.#changed();
  }

  async setMicrophone(on) {
    if (on && this.call && !this.call.standing.you?.can_publish) return banner("You may watch and listen here. Raise your hand to speak.");
    this.microphoneOn = on;
    if (on && !this.microphone) {
      const told = await this.open();
      if (!this.microphone) this.microphoneOn = false;
      this.tell(told);
    }
    if (this.microphonePublication) {
      await this.call?.room.setMuted(this.microphonePublication, !this.microphoneOn).catch((error) => {
        if (error.code === "interrupted") return; // told when the connection is back
        this.microphoneOn = false;
        if (error.code !== "forbidden") return tellError(error);
        banner("A host muted you. Raise your hand to be let speak again.");
      });
    } else if (this.microphoneOn) {
      await this.#publish("microphone");
    }
    if (this.microphone) this.microphone.enabled = this.microphoneOn;
    this.#changed();
  }

  /** Off means off: the camera's light goes out. */
  async setCamera(on) {
    if (on && this.call && !this.call.standing.you?.can_publish) return banner("You may watch and listen here. Raise your hand to be seen.");
    this.cameraOn = on;
    if (!on) {
      this.camera?.stop();
      this.camera = null;
    } else if (!this.camera) {
      const told = await this.open();
      if (!this.camera) this.cameraOn = false;
      this.tell(told);
    }
    await this.#sendCamera().catch((error) => {
      if (error.code === "interrupted") return;
      if (error.code !== "forbidden") return tellError(error);
      this.#cameraOff();
      banner("A host stopped your video. Raise your hand to be let show yourself again.");
    });
    this.#changed();
  }

  #cameraOff() {
    this.cameraOn = false;
    this.camera?.stop();
    this.camera = null;
    if (this.cameraPublication) this.call?.room.replaceTrack(this.cameraPublication, null).catch(() => {});
  }

  async #sendCamera() {
    const publication = this.cameraPublication;
    if (!publication) return this.camera && this.#publish("camera");
    await this.call?.room.replaceTrack(publication, this.camera);
    await this.call?.room.setMuted(publication, !this.camera);
  }

  async #publish(kind) {
    const { room } = this.call ?? {};
    if (!this[kind] || room?.state !== "connected" || !this.call.standing.you?.can_publish) return;
    this[`${kind}Publication`] = await room.publish(this[kind], { source: kind, muted: false }).catch(tellError);
  }

  /** What is published when a call begins. */
  tracks() {
    const tracks = [];
    if (this.microphone) tracks.push({ track: this.microphone, source: "microphone", muted: !this.microphoneOn });
    if (this.camera) tracks.push({ track: this.camera, source: "camera" });
    return tracks;
  }

  begin(call) {
    this.call = call;
    for (const publication of call.room.local) if (publication.source in { camera: 1, microphone: 1 }) this[`${publication.source}Publication`] = publication;
    let might = call.standing.you?.can_publish;
    call.standing.on("you", () => {
      const may = call.standing.you?.can_publish;
      if (may !== might) (might = may) ? this.#changed() : this.#silence();
    }, call.ended);
    call.on("stateChanged", ({ state }) => state === "connected" && this.#tellAgain());
    call.on("publicationMuted", ({ publication, participant }) => {
      if (participant || !publication.mutedByServer || !publication.muted) return;
      banner(publication.source === "camera" ? "A host stopped your video." : `A host muted your ${publication.source.replace("_", " ")}.`);
      if (publication === this.microphonePublication) {
        this.microphoneOn = false;
        if (this.microphone) this.microphone.enabled = false;
      } else if (publication === this.cameraPublication) {
        this.#cameraOff();
      }
      this.#changed();
    });
    if (might === false) this.#silence();
    this.#changed();
  }

  /** The connection was away: what was switched meanwhile is told now. */
  #tellAgain() {
    for (const [publication, on] of [[this.microphonePublication, this.sendsMicrophone], [this.cameraPublication, Boolean(this.camera)]]) {
      if (publication && !publication.mutedByServer) this.call?.room.setMuted(publication, !on).catch((error) => console.debug(error.message));
    }
  }

  /** We may not publish any more: nothing is, and the camera's light goes out. */
  async #silence() {
    const publications = [this.cameraPublication, this.microphonePublication].filter(Boolean);
    this.cameraPublication = this.microphonePublication = null;
    this.cameraOn = this.microphoneOn = false;
    this.camera?.stop();
    this.microphone?.stop();
    this.camera = this.microphone = null;
    this.#changed();
    for (const publication of publications) await this.call?.room.unpublish(publication).catch((error) => console.debug(error.message));
  }

  end() {
    this.call = null;
    this.cameraPublication = this.microphonePublication = null;
    this.#changed();
  }

  /** Troubles go where the user looks. */
  tell(text) {
    if (document.body.dataset.view === "call") text && banner(text);
    else $("preview-note").textContent = text || (this.cameraOn ? "" : "Camera is off");
  }

  // --- the background ---

  /** Whether the camera in use can blur what is behind us: some browsers have it from the system. */
  get canBlur() {
    return Boolean(this.camera?.getCapabilities?.().backgroundBlur?.includes(true));
  }

  async setBlur(on) {
    this.blur = on;
    if (this.canBlur) await this.camera.applyConstraints({ backgroundBlur: on }).catch(tellError);
    this.#changed();
  }

  /** Pickers of all devices, for the lobby and for the settings. */
  async fill(box) {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
    const current = { camera: this.camera?.getSettings().deviceId, microphone: this.microphone?.getSettings().deviceId, speaker: this.speaker };
    const pickers = KINDS.filter(([kind]) => kind !== "speaker" || "setSinkId" in HTMLMediaElement.prototype).map(([kind, type, label]) => {
      const options = devices.filter((device) => device.kind === type).map((device, n) => new Option(device.label || `${label} ${n + 1}`, device.deviceId));
      const picker = make("select", { data: { picker: kind }, disabled: !options.length, onchange: () => this.choose(kind, picker.value) }, options.length ? options : [new Option(`No ${label.toLowerCase()}`, "")]);
      if (options.some((option) => option.value === current[kind])) picker.value = current[kind];
      return make("label", {}, label, picker);
    });
    const blur = make("input", { type: "checkbox", checked: this.blur && this.canBlur, disabled: !this.canBlur, onchange: () => this.setBlur(blur.checked) });
    const why = this.canBlur ? "" : "not offered by this browser and camera";
    box.replaceChildren(...pickers, make("label", { class: "check" }, blur, make("span", {}, "Blur my background", why && make("small", { textContent: why }))));
  }
}

function trouble(error, what) {
  switch (error.name) {
    case "NotAllowedError": return `The browser was not allowed to use the ${what}. Allow it beside the page's address and reload, or join without.`;
    case "NotFoundError": return `No ${what} was found. You can join without.`;
    case "NotReadableError": return `The ${what} is in use by another program. Close it, or join without.`;
    case "OverconstrainedError": return `The chosen ${what} is gone. Choose another, or join without.`;
    default: return `The ${what} could not be opened: ${error.message || error.name}.`;
  }
}

/** Buttons that switch the microphone and the camera, wherever they stand. */
export function wireSwitches(devices) {
  for (const element of document.querySelectorAll("[data-toggle]")) {
    element.addEventListener("click", () => (element.dataset.toggle === "camera" ? devices.setCamera(!devices.camera) : devices.setMicrophone(!devices.sendsMicrophone)));
  }
  const show = () => {
    for (const [kind, on, symbol, off, turn] of [["microphone", devices.sendsMicrophone, "mic", "Mute microphone", "Unmute microphone"], ["camera", Boolean(devices.camera), "camera", "Turn camera off", "Turn camera on"]]) {
      for (const element of document.querySelectorAll(`[data-toggle="${kind}"]`)) {
        element.dataset.off = !on;
        relabel(element, on ? symbol : `${symbol}-off`, on ? off : turn);
      }
    }
    const preview = $("preview");
    preview.hidden = !devices.camera;
    if (devices.camera && preview.srcObject?.getVideoTracks()[0] !== devices.camera) preview.srcObject = new MediaStream([devices.camera]);
  };
  devices.addEventListener("changed", show);
  show();
}
