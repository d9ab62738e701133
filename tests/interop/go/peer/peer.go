// SPDX-License-Identifier: GPL-3.0-or-later

// Peer is the other side of log_peer: the same directory, written and checked by Go's own packages for transparency logs
// (golang.org/x/mod/sumdb/note and tlog, which the Go checksum database runs on).
//
//	peer write DIR SIZE    makes the directory
//	peer check DIR         checks one that log_peer made
//
// A directory holds a log as C2SP tlog-tiles, and beside it
//
//	keys             "log <vkey>", and "witness <vkey>" for each cosigner
//	claims           "inclusion <size> <position> <root> <hash>...", "consistency <old> <size> <old root> <root> <hash>..."
//	                 with hashes in base64; a line with "!" in front is false and must be refused
//	notes/good-*     to be accepted with all those keys known, each of which has signed
//	notes/bad-*      to be refused
//	proofs/<n>       C2SP tlog-proof of entry n, whose extra data is the entry
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
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

const (
	tileWidth   = 256
	tileHeight  = 8
	typeEd25519 = 1
	typeCosign  = 4
	proofMagic  = "c2sp.org/tlog-proof@v1\n"
)

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "peer: "+format+"\n", args...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

// --- keys ---

// A witness of tlog-cosignature, as sumdb/note's interfaces want it; sumdb/note itself knows plain Ed25519 alone.
type cosigner struct {
	name    string
	public  ed25519.PublicKey
	private ed25519.PrivateKey // of a signer only
	time    uint64             // of the signatures it makes
}

func (c *cosigner) Name() string { return c.name }

func (c *cosigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(c.name+"\n\x04"), c.public...))
	return binary.BigEndian.Uint32(sum[:])
}

func cosigned(time uint64, text []byte) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), text...)
}

func (c *cosigner) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(c.public, cosigned(binary.BigEndian.Uint64(sig), text), sig[8:])
}

func (c *cosigner) Sign(text []byte) ([]byte, error) {
	sig := binary.BigEndian.AppendUint64(nil, c.time)
	return append(sig, ed25519.Sign(c.private, cosigned(c.time, text))...), nil
}

func (c *cosigner) vkey() string {
	typed := append([]byte{typeCosign}, c.public...)
	return fmt.Sprintf("%s+%08x+%s", c.name, c.KeyHash(), base64.StdEncoding.EncodeToString(typed))
}

func parseCosigner(vkey string) *cosigner {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		fail("not a witness's key: %s", vkey)
	}
	typed, err := base64.StdEncoding.DecodeString(parts[2])
	must(err, vkey)
	if len(typed) != 1+ed25519.PublicKeySize || typed[0] != typeCosign {
		fail("not a witness's key: %s", vkey)
	}
	c := &cosigner{name: parts[0], public: typed[1:]}
	if c.vkey() != vkey {
		fail("%s has not the id %s of its key", vkey, parts[1])
	}
	return c
}

// --- the tree ---

// A log in memory: the hashes as package tlog stores them.
type tree struct {
	entries [][]byte
	stored  []tlog.Hash
}

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(t.stored)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		hashes[i] = t.stored[index]
	}
	return hashes, nil
}

func (t *tree) add(entry []byte) {
	hashes, err := tlog.StoredHashes(int64(len(t.entries)), entry, t)
	must(err, "add an entry")
	t.stored = append(t.stored, hashes...)
	t.entries = append(t.entries, entry)
}

func (t *tree) root(size int64) tlog.Hash {
	if size == 0 {
		return sha256.Sum256(nil)
	}
	hash, err := tlog.TreeHash(size, t)
	must(err, "tree hash")
	return hash
}

// --- files ---

func indexPath(n int64) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	return path
}

// Where C2SP has a tile; package tlog's own path has the height in it, too.
func tilePath(level string, n int64, width int) string {
	path := "tile/" + level + "/" + indexPath(n)
	if width < tileWidth {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}

// The tiles of a tree of this size, with the width that each has in it; tlog.NewTiles lists those of all smaller sizes, too.
func tilesOf(size int64) []tlog.Tile {
	var tiles []tlog.Tile
	for level, count := 0, size; count > 0; level, count = level+1, count/tileWidth {
		for n := int64(0); n*tileWidth < count; n++ {
			width := count - n*tileWidth
			if width > tileWidth {
				width = tileWidth
			}
			tiles = append(tiles, tlog.Tile{H: tileHeight, L: level, N: n, W: int(width)})
		}
	}
	return tiles
}

func readFile(dir, path string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, path))
	must(err, "read")
	return data
}

func writeFile(dir, path string, data []byte) {
	full := filepath.Join(dir, path)
	must(os.MkdirAll(filepath.Dir(full), 0o755), "create directory")
	must(os.WriteFile(full, data, 0o644), "write")
}

func main() {
	switch {
	case len(os.Args) == 4 && os.Args[1] == "write":
		size, err := strconv.ParseInt(os.Args[3], 10, 64)
		must(err, "size")
		writeAll(os.Args[2], size)
	case len(os.Args) == 3 && os.Args[1] == "check":
		checkAll(os.Args[2])
	default:
		fmt.Fprintln(os.Stderr, "usage: peer write DIR SIZE | peer check DIR")
		os.Exit(2)
	}
}

var _ note.Signer = (*cosigner)(nil)
var _ note.Verifier = (*cosigner)(nil)
