// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type keys struct {
	log note.Verifier
	all []note.Verifier
}

func readKeys(dir string) keys {
	var k keys
	for _, line := range strings.Split(strings.TrimSpace(string(readFile(dir, "keys"))), "\n") {
		role, vkey, _ := strings.Cut(line, " ")
		var verifier note.Verifier = nil
		if role == "witness" {
			verifier = parseCosigner(vkey)
		} else {
			var err error
			verifier, err = note.NewVerifier(vkey)
			must(err, vkey)
			k.log = verifier
		}
		k.all = append(k.all, verifier)
	}
	return k
}

type checkpoint struct {
	origin string
	size   int64
	root   tlog.Hash
}

func parseCheckpoint(text string) (checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return checkpoint{}, fmt.Errorf("%d lines", len(lines))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return checkpoint{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return checkpoint{lines[0], size, root}, err
}

// Accepted: all known keys have signed.
func openNote(data []byte, k keys) (checkpoint, error) {
	opened, err := note.Open(data, note.VerifierList(k.all...))
	if err != nil {
		return checkpoint{}, err
	}
	if len(opened.Sigs) != len(k.all) {
		return checkpoint{}, fmt.Errorf("%d of %d known keys have signed", len(opened.Sigs), len(k.all))
	}
	return parseCheckpoint(opened.Text)
}

// --- entries and tiles ---

func readEntries(dir string, size int64) *tree {
	t := &tree{}
	for n := int64(0); n*tileWidth < size; n++ {
		width := size - n*tileWidth
		if width > tileWidth {
			width = tileWidth
		}
		path := tilePath("entries", n, int(width))
		data := readFile(dir, path)
		for i := int64(0); i < width; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				fail("%s ends within an entry", path)
			}
			length := int(binary.BigEndian.Uint16(data))
			t.add(data[2 : 2+length])
			data = data[2+length:]
		}
		if len(data) > 0 {
			fail("%s has bytes behind its entries", path)
		}
	}
	return t
}

func checkTiles(dir string, t *tree) int {
	tiles := tilesOf(int64(len(t.entries)))
	for _, tile := range tiles {
		want, err := tlog.ReadTileData(tile, t)
		must(err, "tile")
		path := tilePath(strconv.Itoa(tile.L), tile.N, tile.W)
		if !bytes.Equal(readFile(dir, path), want) {
			fail("%s is not what Go computes", path)
		}
	}
	return len(tiles)
}

// Reads tiles as a client of the log does; package tlog authenticates them against the root.
type tileClient struct{ dir string }

func (c tileClient) Height() int { return tileHeight }

func (c tileClient) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(c.dir, tilePath(strconv.Itoa(tile.L), tile.N, tile.W)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (c tileClient) SaveTiles([]tlog.Tile, [][]byte) {}

func checkAsClient(dir string, t *tree, cp checkpoint) {
	client := tlog.TileHashReader(tlog.Tree{N: cp.size, Hash: cp.root}, tileClient{dir})
	for n := int64(0); n < cp.size; n += 1 + cp.size/50 {
		proof, err := tlog.ProveRecord(cp.size, n, client)
		must(err, "inclusion from tiles")
		must(tlog.CheckRecord(proof, cp.size, cp.root, n, tlog.RecordHash(t.entries[n])), "inclusion from tiles")
	}
}

// --- claims ---

func number(field string) int64 {
	n, err := strconv.ParseInt(field, 10, 64)
	must(err, "number in a claim")
	return n
}

func hash(field string) tlog.Hash {
	h, err := tlog.ParseHash(field)
	must(err, "hash in a claim")
	return h
}

func hashes(fields []string) []tlog.Hash {
	var all []tlog.Hash
	for _, field := range fields {
		all = append(all, hash(field))
	}
	return all
}

func checkInclusion(t *tree, f []string) error {
	size, position, root := number(f[1]), number(f[2]), hash(f[3])
	if size > int64(len(t.entries)) || position >= size || root != t.root(size) {
		return fmt.Errorf("another size, position or root")
	}
	return tlog.CheckRecord(hashes(f[4:]), size, root, position, tlog.RecordHash(t.entries[position]))
}

func checkConsistency(t *tree, f []string) error {
	old, size, oldRoot, root := number(f[1]), number(f[2]), hash(f[3]), hash(f[4])
	if size > int64(len(t.entries)) || old > size || root != t.root(size) || oldRoot != t.root(old) {
		return fmt.Errorf("another size or root")
	}
	return tlog.CheckTree(hashes(f[5:]), size, root, old, oldRoot)
}

func checkClaims(dir string, t *tree) (accepted, refused int) {
	for i, line := range strings.Split(strings.TrimSpace(string(readFile(dir, "claims"))), "\n") {
		f := strings.Fields(strings.TrimPrefix(line, "!"))
		check := checkInclusion
		if f[0] == "consistency" {
			check = checkConsistency
		}
		err := check(t, f)
		if wrong := strings.HasPrefix(line, "!"); wrong != (err != nil) {
			fail("claims:%d: %v: %s", i+1, err, line)
		}
		if err != nil {
			refused++
		} else {
			accepted++
		}
	}
	return accepted, refused
}

// --- notes and proof files ---

func glob(dir, pattern string) []string {
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	must(err, pattern)
	if len(paths) == 0 {
		fail("no %s in %s", pattern, dir)
	}
	return paths
}

func checkNotes(dir string, k keys) (accepted, refused int) {
	for _, path := range glob(dir, "notes/good-*") {
		data, err := os.ReadFile(path)
		must(err, path)
		_, err = openNote(data, k)
		must(err, path)
		accepted++
	}
	for _, path := range glob(dir, "notes/bad-*") {
		data, err := os.ReadFile(path)
		must(err, path)
		if _, err = openNote(data, k); err == nil {
			fail("%s was accepted", path)
		}
		refused++
	}
	return accepted, refused
}

func checkProofFile(path string, k keys, t *tree) {
	data, err := os.ReadFile(path)
	must(err, path)
	head, signed, found := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || !strings.HasPrefix(head, proofMagic+"extra ") || !strings.HasPrefix(lines[2], "index ") {
		fail("%s: not a proof", path)
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	must(err, path)
	position := number(strings.TrimPrefix(lines[2], "index "))
	cp, err := openNote([]byte(signed), k)
	must(err, path)
	must(tlog.CheckRecord(hashes(lines[3:]), cp.size, cp.root, position, tlog.RecordHash(entry)), path)
	if !bytes.Equal(entry, t.entries[position]) || filepath.Base(path) != strconv.FormatInt(position, 10) {
		fail("%s is about another entry", path)
	}
}

func checkAll(dir string) {
	k := readKeys(dir)
	cp, err := openNote(readFile(dir, "checkpoint"), k)
	must(err, "checkpoint")
	if cp.origin != k.log.Name() {
		fail("the origin is %s, and the log's key is named %s", cp.origin, k.log.Name())
	}
	t := readEntries(dir, cp.size)
	if t.root(cp.size) != cp.root {
		fail("the root of the checkpoint is not that of the entries")
	}
	tiles := checkTiles(dir, t)
	checkAsClient(dir, t, cp)
	trueClaims, falseClaims := checkClaims(dir, t)
	goodNotes, badNotes := checkNotes(dir, k)
	proofs := glob(dir, "proofs/*")
	for _, path := range proofs {
		checkProofFile(path, k, t)
	}
	fmt.Printf("peer: %d entries, %d tiles, %d+%d claims, %d+%d notes, %d proof files\n", cp.size, tiles, trueClaims,
		falseClaims, goodNotes, badNotes, len(proofs))
}
