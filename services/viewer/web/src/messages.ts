/** What the viewer service sends (docs/viewer.md), and what it takes. */

export interface Service {
  address: string;
  up: boolean;
  error?: string;
  version?: string;
  device?: string;
  models?: { name: string; fingerprint: string; profile: string; decoders: string[] }[];
}

export interface Conditions {
  model: string;
  snr_db: number;
  coherence_symbols: number;
  rician_k_db: number;
  doppler_hz: number;
  delay_spread_s: number;
  erasure_rate: number;
  erasure_burst: number;
  scheduled: boolean;
}

export interface Picture {
  type: "picture";
  number: number;
  burst_id: string;
  source: string;
  width: number;
  height: number;
  snr_db: number | null;
  concealed: number;
  rounds: number;
  segments: { sent: Record<string, number>; lost: Record<string, number>; unsent: number; recovered: number };
  /** Which decoder made it; empty: one in between, or one from a file. */
  decoder: string;
  /** Of that decoder, 0 (fidelity) to 1 (perceptual); null: it is one from a file. */
  realism: number | null;
  /** Tokens by kind; null where they are not known. */
  kinds: Record<Kind, number> | null;
  /** Where the panorama is fine. */
  focus: Focus[];
  /** Seconds from when it was taken until the viewer had it ready for browsers; null where that is not known. */
  age_seconds: number | null;
  /** Of the file with the kind of each token, behind the picture. */
  token_bytes: number;
  original: boolean;
}

/** What has become of a token; the place in the list, from 1, is its number in the file. */
export const KINDS = ["concealed", "unchanged", "refined", "new", "new_feature", "lost"] as const;
export type Kind = (typeof KINDS)[number];

export interface Focus {
  yaw: number;
  pitch: number;
  width: number;
}

export interface Delivery {
  type: "delivery";
  source: string;
  delivered: boolean;
  error: string | null;
  width: number;
  height: number;
  model: string;
  bpp: number;
  bits: Record<string, number>;
  tokens: number;
  kept: number;
  concealed: number;
  symbols: number;
  symbols_per_pixel: number;
  rounds: number;
  schemes: Record<string, string[]>;
  snr_db: number | null;
  measured_snr_db: number | null;
  seconds: Record<string, number>;
  segments: { sent: number; lost: number; unsent: number; recovered: number };
  stream: { number: number; reference: number; unchanged: number; refined: number; new: number; focus: Focus[] } | null;
  activation: boolean;
}

export type Message =
  | { type: "viewer"; version: string; samples: string[]; supervised: boolean; channel: boolean; max_upload_bytes: number }
  | { type: "services"; services: Record<string, Service> }
  | { type: "conditions"; conditions: Conditions }
  | { type: "decoder"; decoder: string; realism: number | null }
  | { type: "sending"; name: string | null; repeat: boolean }
  | { type: "quality"; source: string; vpsnr_db: number; vssim: number }
  | { type: "problem"; text: string; fix: string }
  | { type: "refused"; text: string }
  | { type: "alive" }
  | Delivery;

export type Request =
  | { type: "gaze"; yaw: number; pitch: number; fov: number }
  | { type: "conditions"; changes: Partial<Conditions> }
  | { type: "conditions"; scenario: string }
  | { type: "decoder"; realism: number | null }
  | { type: "send"; samples: string[]; options: object }
  | { type: "stop" }
  | { type: "kill" };
