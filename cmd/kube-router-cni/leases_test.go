package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/model"
)

func TestLeasesOfPodsThatAreGoneAreFreed(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, "n")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &conf{DataDir: data}
	c.Name = "n"
	for name, text := range map[string]string{
		"10.244.1.2": "gone\r\neth0", "10.244.1.3": "here\r\neth0", "fd00::2": "gone\r\neth0", "10.244.1.4": "here", "10.244.1.5": "here\r\neth1",
		"last_reserved_ip.0": "10.244.1.5", "lock": "", "10.244.1.6": "starting\r\neth0",
	} {
		path := filepath.Join(dir, name)
		age := time.Now().Add(-time.Hour)
		if strings.Contains(text, "starting") {
			age = time.Now()
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, age, age); err != nil {
			t.Fatal(err)
		}
	}
	if err := free(c, []model.Name{{Namespace: "here", Name: "eth0"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	list, _ := os.ReadDir(dir)
	var left []string
	for _, e := range list {
		left = append(left, e.Name())
	}
	if want := []string{"10.244.1.3", "10.244.1.4", "10.244.1.6", "last_reserved_ip.0", "lock"}; !slices.Equal(left, want) {
		t.Errorf("left: %v, want %v", left, want)
	}
	c.Name = "nowhere"
	if err := free(c, nil, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestAnUpdateIsNoUnreadiness(t *testing.T) {
	socket, now := filepath.Join(t.TempDir(), "s"), time.Now()
	for _, step := range []struct {
		good bool
		at   time.Duration
		want bool
	}{{false, 0, false}, {true, 0, true}, {false, time.Minute, true}, {false, 3 * time.Minute, false}, {true, 4 * time.Minute, true}, {false, 5 * time.Minute, true}} {
		if got := wasReady(socket, step.good, now.Add(step.at)); got != step.want {
			t.Errorf("after %s: %v", step.at, got)
		}
	}
}
