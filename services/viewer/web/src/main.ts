import { $, el } from "./dom";
import { channelPanel } from "./channel";
import { Gallery } from "./gallery";
import { gazing, headset, looking, turning } from "./look";
import type { Message } from "./messages";
import { Notices } from "./notices";
import { Numbers } from "./numbers";
import { receivePanel } from "./receive";
import { sendPanel } from "./send";
import { signedIn } from "./signin";
import { Socket } from "./socket";
import { Sphere } from "./sphere";
import { Status } from "./status";
import { theme } from "./theme";

const canvas = $<HTMLCanvasElement>("sphere");
const sphere = sphereOn(canvas);
const notices = new Notices($("notices"));
const status = new Status(() => send.stream());
const numbers = new Numbers($("numbers"));
const gallery = new Gallery(sphere, numbers);

const socket = new Socket({
  open: () => status.connected(true),
  lost: (reason) => status.connected(false, reason),
  refused: () => signedIn($<HTMLDialogElement>("signin")), // the token has changed, perhaps
  picture: (header, jpeg, tokens) => {
    status.arrived();
    if (gallery.knows(header)) return;
    numbers.picture(header);
    receive.picture(header.realism);
    void gallery.arrived(header, jpeg, tokens);
  },
  message,
});
const channel = channelPanel($("channel"), (request) => socket.send(request));
const send = sendPanel($("send"), (request) => socket.send(request), notices);
const receive = receivePanel($("receive"), (request) => socket.send(request), () => send.again());

const LIVE = "#stream"; // behind the page's address: it opens with a stream
let delivered = ""; // source of the last delivery, which the viewer tells again after a reconnection
let idle: boolean | null = null; // not known yet
let opening = location.hash === LIVE;
addEventListener("hashchange", () => {
  opening = location.hash === LIVE;
  open();
});

/** Begin with a stream, where the address asks for one, all services are there, and nothing is being sent. */
function open(): void {
  if (!opening || idle === null || !status.complete || !send.ready) return;
  opening = false;
  if (idle) send.stream();
}

function message(received: Message): void {
  switch (received.type) {
    case "viewer":
      $("version").textContent = `Panolink ${received.version}`;
      send.samples(received.samples);
      $("channel").hidden = !received.channel;
      status.withChannel(received.channel);
      send.limit(received.max_upload_bytes);
      channel.supervised(received.supervised);
      break;
    case "services":
      status.services(received.services);
      send.models(received.services.transmitter?.models ?? []);
      receive.receiver(received.services.receiver);
      open();
      break;
    case "decoder":
      receive.chosen(received.realism);
      break;
    case "conditions":
      channel.conditions(received.conditions);
      break;
    case "sending":
      idle = received.name === null;
      send.sending(received.name, received.repeat);
      open();
      break;
    case "delivery":
      if (received.source === delivered) break;
      delivered = received.source;
      if (!received.delivered) notices.add(`${received.source}: ${(received.error ?? "not delivered").replace(/^burst \S+: /, "")}`);
      numbers.delivery(received);
      gallery.delivered(received);
      break;
    case "quality":
      numbers.quality(received.source, received.vpsnr_db, received.vssim);
      break;
    case "problem":
      notices.add(received.text, received.fix);
      break;
    case "refused":
      channel.refused();
      notices.add(received.text);
      break;
  }
}

looking(canvas, sphere);
turning($("gyro"), sphere, (text) => notices.add(text));
void headset($("vr"), sphere, (text) => notices.add(text));
gazing(sphere, (yaw, pitch, fov) => socket.send({ type: "gaze", yaw, pitch, fov }));
theme($("theme"));
$("full").onclick = () => {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void enterFullScreen().catch(() => notices.add("This browser has no full screen for pages."));
};

async function enterFullScreen(): Promise<void> {
  await $("stage").requestFullscreen(); // which phones do not have: that is a rejection, too
}

/** The sphere; where the browser cannot draw it, the page says so before it gives up. */
function sphereOn(canvas: HTMLCanvasElement): Sphere {
  try {
    return new Sphere(canvas);
  } catch (error) {
    $("empty").append(el("h2", {}, "This browser cannot draw the panorama"), el("p", {}, "The page needs WebGL 2: see whether hardware acceleration is turned off, or try another browser."));
    throw error;
  }
}

void signedIn($<HTMLDialogElement>("signin")).then(() => socket.connect());
