package k8s

import (
	"encoding/json"
	"net/http"
	"testing"
)

// applied is an overlay as the server holds it.
type applied struct {
	overlay string
	objects []object
}

func (a applied) kind(kind string) (of []object) {
	for _, o := range a.objects {
		if o.Kind == kind {
			of = append(of, o)
		}
	}
	return of
}

func (a applied) find(kind, name string) *object {
	for _, o := range a.objects {
		if o.Kind == kind && o.Metadata.Name == name {
			return &o
		}
	}
	return nil
}

// apply is `kubectl apply --server-side --validate=strict`. It fails on any warning, from validation, deprecation or Pod Security alike.
func apply(t *testing.T, s *apiServer, overlay string) applied {
	t.Helper()
	result := applied{overlay: overlay}
	for _, m := range render(t, overlay) {
		a, err := s.do(http.MethodPatch, m.path(t)+"?fieldManager=test&force=true&fieldValidation=Strict", "application/apply-patch+yaml", m.text)
		if err != nil {
			t.Errorf("%s: %v", overlay, err)
			continue
		}
		for _, w := range a.warnings {
			t.Errorf("%s: %s %s: warning: %s", overlay, m.Kind, m.Metadata.Name, w)
		}
		var held object
		s.get(m.path(t), &held)
		result.objects = append(result.objects, held)
	}
	if t.Failed() {
		t.FailNow()
	}
	return result
}

// The real API server takes both overlays, in one cluster, without a warning, and applying them again changes nothing.
func TestTheAPIServerTakesTheOverlays(t *testing.T) {
	s := startAPIServer(t)
	// A misspelt field must not pass, or the rest proves nothing.
	misspelt := []byte("{apiVersion: v1, kind: ConfigMap, metadata: {name: misspelt, namespace: default}, dta: {a: b}}")
	if _, err := s.do(http.MethodPatch, "/api/v1/namespaces/default/configmaps/misspelt?fieldManager=test&fieldValidation=Strict", "application/apply-patch+yaml", misspelt); err == nil {
		t.Error("the server took a field that does not exist")
	}
	for _, overlay := range overlays {
		first := apply(t, s, overlay)
		t.Run(overlay, func(t *testing.T) { checkInvariants(t, first) })
		t.Run(overlay+"/pods", func(t *testing.T) { admitPods(t, s, first) })
		t.Run(overlay+"/network", func(t *testing.T) { checkNetwork(t, s, first) })
		again := apply(t, s, overlay)
		for i, o := range again.objects {
			if before := first.objects[i].Metadata.ResourceVersion; o.Metadata.ResourceVersion != before {
				t.Errorf("%s: applying %s %s again has changed it: version %s, before %s", overlay, o.Kind, o.Metadata.Name, o.Metadata.ResourceVersion, before)
			}
		}
	}
}

// admitPods asks the server for a pod of each template, which Pod Security then enforces instead of warning about.
func admitPods(t *testing.T, s *apiServer, a applied) {
	for _, set := range a.kind("StatefulSet") {
		var held struct {
			Spec struct {
				Template map[string]any
			}
		}
		s.get("/apis/apps/v1/namespaces/"+set.Metadata.Namespace+"/statefulsets/"+set.Metadata.Name, &held)
		pod := held.Spec.Template
		pod["apiVersion"], pod["kind"] = "v1", "Pod"
		pod["metadata"].(map[string]any)["name"] = set.Metadata.Name + "-0"
		// The controller would add the claims' volumes.
		for _, claim := range set.Spec.VolumeClaimTemplates {
			spec := pod["spec"].(map[string]any)
			volumes, _ := spec["volumes"].([]any)
			spec["volumes"] = append(volumes, map[string]any{"name": claim.Metadata.Name, "emptyDir": map[string]any{}})
		}
		text, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.do(http.MethodPost, "/api/v1/namespaces/"+set.Metadata.Namespace+"/pods?dryRun=All&fieldValidation=Strict", "application/json", text)
		if err != nil {
			t.Errorf("a pod of %s: %v", set.Metadata.Name, err)
		}
		for _, w := range answer.warnings {
			t.Errorf("a pod of %s: warning: %s", set.Metadata.Name, w)
		}
	}
}
