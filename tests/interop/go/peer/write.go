// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	origin   = "go.example/log"
	nclaims  = 100
	nproofs  = 20
	longest  = 65535
	longText = 3 // the entry of the greatest length
)

func makeEntry(n int64) []byte {
	if n == longText {
		return bytes.Repeat([]byte("x"), longest)
	}
	return []byte(fmt.Sprintf("%d %s", n, strings.Repeat("y", int(n%61))))[:int(n%61)]
}

func writeTiles(dir string, t *tree) {
	size := int64(len(t.entries))
	for _, tile := range tilesOf(size) {
		data, err := tlog.ReadTileData(tile, t)
		must(err, "tile")
		writeFile(dir, tilePath(strconv.Itoa(tile.L), tile.N, tile.W), data)
	}
	var bundle []byte
	for n, entry := range t.entries {
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...)
		if width := n%tileWidth + 1; width == tileWidth || n == len(t.entries)-1 {
			writeFile(dir, tilePath("entries", int64(n/tileWidth), width), bundle)
			bundle = nil
		}
	}
}

// --- claims ---

// One thing changed, so that it is false.
func falsify(random *rand.Rand, fields []string, proof []tlog.Hash) ([]string, []tlog.Hash) {
	fields = append([]string(nil), fields...)
	proof = append([]tlog.Hash(nil), proof...)
	switch way := random.Intn(4); {
	case way == 0 && len(proof) > 0:
		proof[random.Intn(len(proof))][random.Intn(tlog.HashSize)] ^= 1 << random.Intn(8)
	case way == 1 && len(proof) > 0:
		proof = proof[:len(proof)-1]
	case way == 2 && len(proof) > 1 && proof[0] != proof[1]:
		proof[0], proof[1] = proof[1], proof[0]
	default:
		var root tlog.Hash
		random.Read(root[:])
		proof = append(proof, root)
	}
	return fields, proof
}

func addClaim(out *bytes.Buffer, random *rand.Rand, proof []tlog.Hash, fields ...string) {
	put := func(prefix string, fields []string, proof []tlog.Hash) {
		out.WriteString(prefix + strings.Join(fields, " "))
		for _, hash := range proof {
			out.WriteString(" " + hash.String())
		}
		out.WriteString("\n")
	}
	put("", fields, proof)
	fields, proof = falsify(random, fields, proof)
	put("!", fields, proof)
}

func writeClaims(dir string, t *tree, random *rand.Rand) {
	var out bytes.Buffer
	for i := 0; i < nclaims; i++ {
		size := 1 + random.Int63n(int64(len(t.entries)))
		position, old := random.Int63n(size), 1+random.Int63n(size)
		inclusion, err := tlog.ProveRecord(size, position, t)
		must(err, "prove inclusion")
		consistency, err := tlog.ProveTree(size, old, t)
		must(err, "prove consistency")
		sizeText := strconv.FormatInt(size, 10)
		addClaim(&out, random, inclusion, "inclusion", sizeText, strconv.FormatInt(position, 10), t.root(size).String())
		addClaim(&out, random, consistency, "consistency", strconv.FormatInt(old, 10), sizeText, t.root(old).String(),
			t.root(size).String())
	}
	writeFile(dir, "claims", out.Bytes())
}

// --- notes ---

type signers struct {
	log       note.Signer
	vkey      string
	witnesses []*cosigner
}

func makeSigners(random *rand.Rand) signers {
	skey, vkey, err := note.GenerateKey(random, origin)
	must(err, "generate a key")
	log, err := note.NewSigner(skey)
	must(err, "signer")
	s := signers{log: log, vkey: vkey}
	for i, name := range []string{"alder/alder-1", "birch/birch-1"} {
		seed := make([]byte, ed25519.SeedSize)
		random.Read(seed)
		private := ed25519.NewKeyFromSeed(seed)
		s.witnesses = append(s.witnesses, &cosigner{name, private.Public().(ed25519.PublicKey), private, 1700000000 + uint64(i)})
	}
	return s
}

func (s signers) sign(text string) []byte {
	all := []note.Signer{s.log}
	for _, witness := range s.witnesses {
		all = append(all, witness)
	}
	signed, err := note.Sign(&note.Note{Text: text}, all...)
	must(err, "sign")
	return signed
}

func writeNotes(dir string, s signers, signed []byte) {
	stranger := "\u2014 t\u00e9moin.example/1 " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 2424)) + "\n"
	writeFile(dir, "notes/good-plain", signed)
	writeFile(dir, "notes/good-stranger", append(append([]byte(nil), signed...), stranger...))
	writeFile(dir, "notes/bad-text", bytes.Replace(signed, []byte("\n"), []byte("x\n"), 1))
	head, tail, _ := strings.Cut(string(signed), "\n\n")
	lines := strings.SplitAfter(tail, "\n")
	writeFile(dir, "notes/bad-without-log", []byte(head+"\n\n"+lines[1]+lines[2]))
	writeFile(dir, "notes/bad-no-signature", []byte(head+"\n\n"))
	for i := 0; i < 3; i++ { // a bit of each signature
		bad := append([]string(nil), lines...)
		space := strings.LastIndex(bad[i], " ")
		sig, err := base64.StdEncoding.DecodeString(strings.TrimSpace(bad[i][space+1:]))
		must(err, "own signature")
		sig[len(sig)-40] ^= 4
		bad[i] = bad[i][:space+1] + base64.StdEncoding.EncodeToString(sig) + "\n"
		writeFile(dir, fmt.Sprintf("notes/bad-signature-%d", i), []byte(head+"\n\n"+strings.Join(bad, "")))
	}
}

func writeProofs(dir string, t *tree, signed []byte, random *rand.Rand) {
	size := int64(len(t.entries))
	for i := 0; i < nproofs; i++ {
		position := random.Int63n(size)
		if len(t.entries[position]) == 0 {
			continue // extra data of no length is no extra data
		}
		proof, err := tlog.ProveRecord(size, position, t)
		must(err, "prove inclusion")
		text := proofMagic + "extra " + base64.StdEncoding.EncodeToString(t.entries[position]) +
			fmt.Sprintf("\nindex %d\n", position)
		for _, hash := range proof {
			text += hash.String() + "\n"
		}
		writeFile(dir, fmt.Sprintf("proofs/%d", position), append([]byte(text+"\n"), signed...))
	}
}

func writeAll(dir string, size int64) {
	random := rand.New(rand.NewSource(size)) // the same directory each time
	s, t := makeSigners(random), &tree{}
	for n := int64(0); n < size; n++ {
		t.add(makeEntry(n + 1))
	}
	keys := "log " + s.vkey + "\n"
	for _, witness := range s.witnesses {
		keys += "witness " + witness.vkey() + "\n"
	}
	writeFile(dir, "keys", []byte(keys))
	signed := s.sign(fmt.Sprintf("%s\n%d\n%s\n", origin, size, t.root(size)))
	writeTiles(dir, t)
	writeFile(dir, "checkpoint", signed)
	writeClaims(dir, t, random)
	writeNotes(dir, s, signed)
	writeProofs(dir, t, signed, random)
}
