//go:build guest

package traffic

import (
	"net/netip"
	"os/exec"
	"testing"
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
	all, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	c, ok := all[Front{netip.MustParseAddr("10.96.9.9"), 80, 6}]
	if !ok || len(all) != 1 || c.Connections == 0 || c.PacketsIn == 0 || c.BytesIn == 0 {
		t.Errorf("%+v\n%s", all, text)
	}
}
