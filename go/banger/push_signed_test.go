package banger_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/banger-project/banger/go/banger"
)

// keyPair writes a key pair as Go encodes it, and returns the paths of the private and the public key.
func keyPair(t *testing.T, name string) (private, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	open, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	write := func(ending, kind string, der []byte) string {
		path := filepath.Join(directory, name+ending)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write(".key", "PRIVATE KEY", secret), write(".pub", "PUBLIC KEY", open)
}

func TestSignedImagesArePulledByTheirKey(t *testing.T) {
	store := openStore(t)
	image, err := store.Pull(t.Context(), layout(t, smallImage()), banger.WithName("small"), banger.WithInject(false))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	private, public := keyPair(t, "own")
	_, other := keyPair(t, "other")
	target := "oci:" + filepath.Join(t.TempDir(), "artifact") + ":small"
	statement := filepath.Join(t.TempDir(), "provenance.json")
	document, err := store.Push(t.Context(), "small", target, banger.WithSignKey(private),
		banger.WithAttest(statement), banger.WithSourceDateEpoch(86400))
	if err != nil {
		t.Fatal(err)
	}
	var pushed struct{ Digest, Signature, Attestation string }
	if err := json.Unmarshal(document, &pushed); err != nil || pushed.Signature == "" || pushed.Attestation == "" {
		t.Errorf("the document is %s (%v)", document, err)
	}
	if said, err := os.ReadFile(statement); err != nil || !bytes.Contains(said, []byte("1970-01-02T00:00:00Z")) {
		t.Errorf("the provenance is %s (%v)", said, err)
	}
	_, err = store.Pull(t.Context(), target, banger.WithName("refused"), banger.WithVerifyKey(other))
	if kindOf(err) != banger.KindAccess {
		t.Errorf("a pull by another key: %v", err)
	}
	pulled, err := store.Pull(t.Context(), target, banger.WithName("signed"), banger.WithVerifyKey(public),
		banger.WithReferrers(true))
	if err != nil {
		t.Fatal(err)
	}
	defer pulled.Close()
	var record struct {
		Signatures []struct{ Digest string }
		Referrers  []struct{ Digest string }
	}
	if err := json.Unmarshal(pulled.JSON(), &record); err != nil {
		t.Fatal(err)
	}
	if len(record.Signatures) != 1 || record.Signatures[0].Digest != pushed.Digest {
		t.Errorf("the signatures are %+v", record.Signatures)
	}
	if len(record.Referrers) != 1 || record.Referrers[0].Digest != pushed.Attestation {
		t.Errorf("the referrers are %+v", record.Referrers)
	}
	_, err = store.Push(t.Context(), "small", target, banger.WithSignPassword("secret"))
	if kindOf(err) != banger.KindArgument {
		t.Errorf("a password without a key: %v", err)
	}
	_, err = store.Push(t.Context(), "small", target, banger.WithSignKey(public))
	if kindOf(err) != banger.KindArgument {
		t.Errorf("a public key: %v", err)
	}
}
