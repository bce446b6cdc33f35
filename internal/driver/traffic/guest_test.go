//go:build guest

package traffic

import (
	"net/netip"
	"os/exec"
	"testing"
	"time"
)

// The kernel counts what passes through a virtual server, and we read it.
func TestRead(t *testing.T) {
	script := `ip link set lo up
	ip addr add 10.96.9.9/32 dev lo
	ipvsadm -A -t 10.96.9.9:80 -s rr
	ipvsadm -a -t 10.96.9.9:80 -r 127.0.0.1:8080 -m
	ipvsadm -A -f 77 -s rr
	curl -s --max-time 5 http://10.96.9.9/ || true # refused, and counted`
	text, err := exec.Command("bash", "-c", script).CombinedOutput()
	if err != nil {
		t.Logf("%v %s", err, text)
	}
	front := Front{netip.MustParseAddr("10.96.9.9"), 80, 6}
	var all map[Front]Counters
	// The kernel sums its counters up every two seconds.
	for range 100 {
		if all, err = Read(); err != nil {
			t.Fatal(err)
		}
		if all[front].Connections > 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if c := all[front]; len(all) != 1 || c.Connections == 0 || c.PacketsIn == 0 || c.BytesIn == 0 {
		t.Errorf("%+v\n%s", all, text)
	}
}
