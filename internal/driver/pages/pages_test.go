package pages

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

func TestLimit(t *testing.T) {
	for text, want := range map[string]int64{"max\n": 0, "": 0, "0\n": 0, "-1": 0, "104857600\n": 83886080, "9223372036854771712\n": 0, "x": 0} {
		if have, ok := limit(text); have != want && want != 0 || ok && want == 0 && have < 1<<61 {
			t.Errorf("%q: %d %v, want %d", text, have, ok, want)
		}
	}
}

// What could have been written to stays, and so do other files.
func TestProgramPages(t *testing.T) {
	maps := `00400000-02049000 r-xp 00000000 fe:00 9979192                            /bin/kube-router
02049000-03f0f000 r--p 01c49000 fe:00 9979192                            /bin/kube-router (deleted)
03f0f000-03fc3000 rw-p 03b0f000 fe:00 9979192                            /bin/kube-router
03fc3000-06010000 rw-p 00000000 00:00 0
7f0000000000-7f0000001000 r--p 00000000 fe:00 12                         /etc/passwd
7ffd4a5e2000-7ffd4a5e6000 r--p 00000000 00:00 0                          [vvar]
7ffd4a5e6000-7ffd4a5e8000 ---p 00000000 fe:00 9979192                    /bin/kube-router
nonsense
`
	want := []span{{0x400000, 0x2049000}, {0x2049000, 0x3f0f000}}
	if have := programPages([]byte(maps), "/bin/kube-router"); !slices.Equal(have, want) {
		t.Errorf("%x, want %x", have, want)
	}
}

// A program whose pages were given back goes on, with fewer of them.
func TestRelease(t *testing.T) {
	before := fileResident(t)
	if err := Release(); err != nil {
		t.Fatal(err)
	}
	after := fileResident(t)
	t.Logf("%d kB of files before, %d kB after", before, after)
	if after >= before {
		t.Errorf("%d kB of files before, %d kB after", before, after)
	}
}

func fileResident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	f := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(text)
	if f == nil {
		t.Fatalf("no RssFile:\n%s", text)
	}
	n, _ := strconv.Atoi(string(f[1]))
	return n
}
