package healthport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"kube-router/internal/row"
)

func freePort(t *testing.T) uint16 {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func TestAnswersInKubeProxysWords(t *testing.T) {
	serving := true
	d := Driver{Serving: func() bool { return serving }}
	defer d.Close()
	r := row.HealthPort{Port: freePort(t), Service: row.KubeName{Namespace: "default", Name: "web"}, Local: 2}
	apply := func(old, new *row.HealthPort) {
		t.Helper()
		err := d.Apply(context.Background(), []row.Change[uint16, row.HealthPort]{{Key: r.Port, Old: old, New: new}})
		if err != nil {
			t.Fatal(err)
		}
	}
	ask := func() (int, string, string) {
		resp, err := http.Get("http://127.0.0.1:" + strconv.Itoa(int(r.Port)) + "/healthz")
		if err != nil {
			return 0, "", ""
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header.Get("X-Load-Balancing-Endpoint-Weight"), string(body)
	}
	apply(nil, &r)
	code, weight, body := ask()
	want := `{"localEndpoints":2,"service":{"name":"web","namespace":"default"},"serviceProxyHealthy":true}` + "\n"
	if code != 200 || weight != "2" || body != want {
		t.Errorf("%d, weight %s, %s", code, weight, body)
	}
	serving = false // KEP-3836: a balancer is told that the node's proxy is what isn't well, and with 503
	if code, _, body = ask(); code != 503 || body != strings.Replace(want, "true", "false", 1) {
		t.Errorf("without a proxy that works: %d %s", code, body)
	}
	serving = true
	none := r
	none.Local = 0
	apply(&r, &none)
	if code, weight, _ = ask(); code != 503 || weight != "0" {
		t.Errorf("without endpoints %d, weight %s", code, weight)
	}
	apply(&none, nil)
	if code, _, _ = ask(); code != 0 {
		t.Errorf("still answers %d", code)
	}
}

func TestATakenPortFailsAlone(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var d Driver
	defer d.Close()
	taken := row.HealthPort{Port: uint16(l.Addr().(*net.TCPAddr).Port)}
	free := row.HealthPort{Port: freePort(t)}
	err = d.Apply(context.Background(), []row.Change[uint16, row.HealthPort]{
		{Key: taken.Port, New: &taken}, {Key: free.Port, New: &free},
	})
	if failed, ok := err.(row.Failed[uint16]); !ok || len(failed) != 1 || !errors.As(failed[taken.Port], &row.Foreign{}) {
		t.Errorf("got %v", err)
	}
	if rows, _ := d.Dump(context.Background()); len(rows) != 1 {
		t.Errorf("rows %v", rows)
	}
}
