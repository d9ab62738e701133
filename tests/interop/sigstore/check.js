// SPDX-License-Identifier: GPL-3.0-or-later
//
// check.js DIRECTORY: each NAME.json in it is a DSSE envelope and NAME.pem the key that signed it. @sigstore/verify must accept it as it
// is, and refuse it with one byte changed, another type or another key. No transparency log and no certificates: the key is all.
'use strict';

const fs = require('fs');
const path = require('path');
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const noAuthorities = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const none = { ctlogThreshold: 0, tlogThreshold: 0, tsaThreshold: 0 };

function bundleOf(envelope) {
  return bundleFromJSON({
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: 'farm' }, tlogEntries: [] },
    dsseEnvelope: envelope,
  });
}

function verify(envelope, pem) {
  const der = Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
  const trust = toTrustMaterial(noAuthorities, { farm: { rawBytes: der } });
  new Verifier(trust, none).verify(toSignedEntity(bundleOf(envelope)));
}

function mustRefuse(what, envelope, pem) {
  try {
    verify(envelope, pem);
  } catch {
    return;
  }
  throw new Error(`${what} was accepted`);
}

function alter(envelope, change) {
  const copy = structuredClone(envelope);
  change(copy);
  return copy;
}

function check(file, otherPem) {
  const envelope = JSON.parse(fs.readFileSync(file, 'utf8'));
  const pem = fs.readFileSync(file.replace(/json$/, 'pem'), 'utf8');
  verify(envelope, pem);
  const body = Buffer.from(envelope.payload, 'base64');
  body[body.length >> 1] ^= 1;
  mustRefuse('an altered statement', alter(envelope, (e) => (e.payload = body.toString('base64'))), pem);
  mustRefuse('another payload type', alter(envelope, (e) => (e.payloadType = 'text/plain')), pem);
  if (otherPem !== pem) mustRefuse('another key', envelope, otherPem);
}

const directory = process.argv[2];
const files = fs.readdirSync(directory).filter((name) => name.endsWith('.json')).map((name) => path.join(directory, name));
const pems = files.map((file) => fs.readFileSync(file.replace(/json$/, 'pem'), 'utf8'));
if (files.length === 0) throw new Error('nothing to check');
files.forEach((file, at) => check(file, pems.find((pem) => pem !== pems[at]) ?? pems[at]));
console.log(`@sigstore/verify accepts ${files.length} envelopes, and refuses each when it is altered`);
