// A complete client in another language: sends panoramas, saves what comes back.
//
//     npm ci
//     node client.mjs 127.0.0.1:50051 pano.jpg other.png
//
// PANOLINK_TOKEN_FILE: a token to present; PANOLINK_TLS_CA: the authority that the transmitter's certificate is from.
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = join(dirname(fileURLToPath(import.meta.url)), "../../proto");
const CHUNK_BYTES = 1 << 18; // a message holds at most 1 MiB, its own framing included
const [target, ...files] = process.argv.slice(2);

const options = { includeDirs: [PROTO], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
const { Transmitter } = grpc.loadPackageDefinition(loadSync("panolink/v1/transmitter.proto", options)).panolink.v1;

function credentials() {
  const ca = process.env.PANOLINK_TLS_CA;
  return ca ? grpc.credentials.createSsl(readFileSync(ca)) : grpc.credentials.createInsecure();
}

function metadata() {
  const metadata = new grpc.Metadata();
  const file = process.env.PANOLINK_TOKEN_FILE;
  if (file) metadata.set("authorization", `Bearer ${readFileSync(file, "utf8").trim()}`);
  return metadata;
}

const client = new Transmitter(target, credentials(), {
  "grpc.max_receive_message_length": 1 << 20,
  "grpc.keepalive_time_ms": 30_000,
});
const stream = client.Transmit(metadata());
const sender = randomBytes(8).toString("hex"); // with it, a panorama sent again is the same one, and shown once
let failed = 0;
let open = null; // the delivery whose parts are coming in

function delivered({ header, picture }) {
  if (header.failure) {
    failed += 1;
    console.log(`${header.source}: ${grpc.status[header.failure.code]}: ${header.failure.message}`);
    return;
  }
  const lost = header.segments.reduce((sum, layer) => sum + layer.lost, 0);
  const out = `${basename(header.source)}.received.png`;
  writeFileSync(out, Buffer.concat(picture), { flag: "wx" });
  console.log(`${header.source}: ${header.bpp.toFixed(3)} bpp, ${lost} segments lost, ${out}`);
}

stream.on("data", (message) => {
  if (message.part === "header") {
    const { header } = message;
    open = { header, missing: header.activation_bytes + header.picture_bytes, picture: [] };
  } else {
    if (message.part === "picture") open.picture.push(message.picture);
    open.missing -= message[message.part].length;
  }
  if (open.missing === 0) delivered(open);
});
stream.on("error", (error) => {
  failed += 1;
  console.error(`${target}: ${grpc.status[error.code]}: ${error.details.trim()}`);
});
stream.on("end", () => client.close());
process.on("exit", () => (process.exitCode = failed ? 1 : 0));

async function write(message) {
  if (!stream.write(message)) await new Promise((resolve) => stream.once("drain", resolve)); // back-pressure
}

for (const [number, file] of files.entries()) {
  const image = readFileSync(file);
  const header = { panorama_id: `${number + 1}`, sender, source: file, image_bytes: image.length, bpp: 0.1 };
  await write({ header: { ...header, return_picture: true } });
  for (let at = 0; at < image.length; at += CHUNK_BYTES) await write({ image: image.subarray(at, at + CHUNK_BYTES) });
}
stream.end();
