package banger_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banger-project/banger/go/banger"
)

// locked is a registry without images that knows one user.
func locked(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestLoginsAreCheckedKeptAndRemoved(t *testing.T) {
	store, ctx, registry := openStore(t), t.Context(), locked(t)
	file := banger.WithAuthFile(filepath.Join(t.TempDir(), "auth.json"))
	_, err := store.Login(ctx, registry, file, banger.WithUser("me"), banger.WithPassword("wrong"))
	if kindOf(err) != banger.KindAccess {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := store.Login(ctx, registry, file); kindOf(err) != banger.KindArgument {
		t.Errorf("no password: %v", err)
	}
	document, err := store.Login(ctx, registry, file, banger.WithUser("me"), banger.WithPassword("secret"))
	if err != nil {
		t.Fatal(err)
	}
	var login struct {
		Path    string
		Checked bool
	}
	if err := json.Unmarshal(document, &login); err != nil || !login.Checked {
		t.Errorf("%v: %s", err, document)
	}
	if _, err := os.Stat(login.Path); err != nil {
		t.Error(err)
	}
	if _, err := store.Logout(ctx, registry, file); err != nil {
		t.Error(err)
	}
	if _, err := store.Logout(ctx, registry, file); kindOf(err) != banger.KindNotFound {
		t.Errorf("a second logout: %v", err)
	}
	if _, err := store.Logout(ctx, "", file); err != nil {
		t.Error(err)
	}
}

func TestInspectTakesTheOptionsOfRegistries(t *testing.T) {
	store, ctx, dir := openStore(t), t.Context(), t.TempDir()
	conf := filepath.Join(dir, "registries.conf")
	text := "[[registry]]\nlocation = \"docker.io\"\nblocked = true\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options := []banger.Option{
		banger.WithRegistriesConf(conf), banger.WithCertsDir(dir), banger.WithCertDir(dir),
		banger.WithProxy("socks5h://127.0.0.1:1"), banger.WithNoProxy("example.com"),
		banger.WithClientCert("cert"), banger.WithClientKey("key"), banger.WithPullPolicy("missing"),
	}
	if _, err := store.Inspect(ctx, "debian", options...); kindOf(err) != banger.KindAccess {
		t.Errorf("a blocked registry: %v", err)
	}
	never := banger.WithPullPolicy("never")
	if _, err := store.Inspect(ctx, "registry.test/app", never); kindOf(err) != banger.KindNotFound {
		t.Errorf("without a request: %v", err)
	}
	both := []banger.Option{banger.WithRegistries("user"), banger.WithRegistriesConf(conf)}
	if _, err := store.Inspect(ctx, "debian", both...); kindOf(err) != banger.KindArgument {
		t.Errorf("two configurations: %v", err)
	}
}
