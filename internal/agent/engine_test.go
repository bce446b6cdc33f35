package agent

import (
	"testing"

	"kube-router/internal/model"
)

// TestAnEngineIsChosenByWhatTheKernelHas: auto takes the first that works, and one that doesn't is refused with those that do.
func TestAnEngineIsChosenByWhatTheKernelHas(t *testing.T) {
	const refused = "--service-proxy-engine=ipvs: this kernel has no IPVS (module ip_vs); auto and nftables work without"
	for _, c := range []struct {
		asked      model.Engine
		has, proxy bool
		want       model.Engine
		err        string
	}{
		{model.EngineAuto, true, true, model.EngineIPVS, ""},
		{model.EngineAuto, false, true, model.EngineNftables, ""},
		{model.EngineIPVS, true, true, model.EngineIPVS, ""},
		{model.EngineIPVS, false, true, model.EngineIPVS, refused},
		{model.EngineIPVS, false, false, model.EngineIPVS, ""},
		{model.EngineNftables, false, true, model.EngineNftables, ""},
		{model.EngineNftables, true, true, model.EngineNftables, ""},
	} {
		s := &model.Settings{Proxy: c.proxy}
		s.Services.Engine = c.asked
		text := ""
		if err := chooseEngine(s, func(string) bool { return c.has }); err != nil {
			text = err.Error()
		}
		if s.Services.Engine != c.want || text != c.err {
			t.Errorf("%+v: %s, %q", c, s.Services.Engine, text)
		}
	}
}
