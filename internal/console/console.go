// Package console lays out what is printed for people: lines of a width, and colours where that is a terminal.
package console

import (
	"bytes"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Width is how wide tables are that have long texts, in columns.
const Width = 100

// Wrap breaks a text between words into lines of a width; a longer word has a line of its own.
func Wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// Finding is the rows of a table for what was found and how to fix it (empty: it need not be): the first has the cells before, the others none.
func Finding(before []string, what, fix string, width int) (rows [][]string) {
	lines := Wrap(what, width)
	if fix != "" {
		lines = append(lines, Wrap("→ "+fix, width)...)
	}
	for i, line := range lines {
		row := make([]string, len(before), len(before)+1)
		if i == 0 {
			copy(row, before)
		}
		rows = append(rows, append(row, line))
	}
	return rows
}

// Room is what a table of Width leaves to its last column beside cells in the others.
func Room(before ...string) int {
	room := Width
	for _, cell := range before {
		room -= utf8.RuneCountInString(cell) + 2
	}
	return room
}

// The colours of states, as SGR codes (ECMA-48); they are told by their words alone, too.
const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
)

// colours of words that are a cell of a table, or that end a line after a colon.
var colours = map[string]string{
	"ok": green, "pass": green, "well": green, "settled": green, "ESTABLISHED": green, "UP": green, "encrypted": green, "allowed": green, "FORWARDED": green,
	"warn": yellow, "working": yellow, "unwanted": yellow, "AUDIT": yellow,
	"bad": red, "FAIL": red, "fails": red, "failing": red, "missing": red, "unwell": red, "silent": red, "denied": red, "DOWN": red, "DROPPED": red,
	"no route": red, "no route back": red,
}

// Writer writes to a file, and colours states where the file is a terminal, unless NO_COLOR (no-color.org) or TERM=dumb says no.
func Writer(f *os.File, getenv func(string) string) io.Writer {
	if getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return f
	}
	return &painter{to: f}
}

// painter colours whole lines; the rest of a line waits for its end.
type painter struct {
	to   io.Writer
	rest []byte
}

// Write takes text as it comes.
func (p *painter) Write(text []byte) (int, error) {
	p.rest = append(p.rest, text...)
	end := bytes.LastIndexByte(p.rest, '\n') + 1
	if end == 0 {
		return len(text), nil
	}
	var b strings.Builder
	for line := range strings.Lines(string(p.rest[:end])) {
		b.WriteString(painted(line))
	}
	p.rest = p.rest[end:]
	if _, err := io.WriteString(p.to, b.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// painted is a line with its states coloured. Cells of a table have two spaces or more between them.
func painted(line string) string {
	var b strings.Builder
	for i, cell := range strings.Split(strings.TrimSuffix(line, "\n"), "  ") {
		if i > 0 {
			b.WriteString("  ")
		}
		word := strings.TrimSpace(cell)
		if at := strings.LastIndex(cell, ": "); at >= 0 && colours[word] == "" {
			word = strings.TrimSpace(cell[at+2:])
		}
		if c := colours[word]; c != "" {
			at := strings.LastIndex(cell, word)
			cell = cell[:at] + c + word + plain + cell[at+len(word):]
		}
		b.WriteString(cell)
	}
	return b.String() + strings.Repeat("\n", strings.Count(line, "\n"))
}
