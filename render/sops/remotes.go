package sops

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/render"
)

// A vaultKey is one of the transit engine of Vault or OpenBao.
type vaultKey struct {
	Address string `yaml:"vault_address"`
	Engine  string `yaml:"engine_path"`
	Name    string `yaml:"key_name"`
	Enc     string `yaml:"enc"`
}

func (k vaultKey) String() string           { return "Vault " + hidden(k.Address) + " " + k.Name }
func (k vaultKey) file() string             { return vaultFile }
func (k vaultKey) usable(r remoteKeys) bool { return r.vault != "" || r.may(render.Vault) }

// hidden returns a URL without a password, if somebody has put one there.
func hidden(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(no URL)"
	}
	return u.Redacted()
}

// url returns where the key decrypts.
func (k vaultKey) url() (string, error) {
	u, err := url.Parse(k.Address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("its vault_address is not a URL such as https://vault.example.com:8200")
	}
	steps := append(strings.Split(strings.Trim(k.Engine, "/"), "/"), "decrypt", k.Name)
	for i, step := range steps {
		if step == "" || step == "." || step == ".." {
			return "", errors.New("its engine_path and key_name are no path in Vault")
		}
		steps[i] = url.PathEscape(step)
	}
	return strings.TrimSuffix(u.String(), "/") + "/v1/" + strings.Join(steps, "/"), nil
}

func (k vaultKey) decrypt(c *calls, with remoteKeys) ([]byte, error) {
	at, err := k.url()
	if err != nil {
		return nil, err
	}
	token := with.vault
	if token == "" {
		if token, err = c.pass(render.Vault, k.Address); err != nil {
			return nil, err
		}
	}
	var answer struct {
		Data struct{ Plaintext string }
	}
	err = c.ask(at, map[string]string{"ciphertext": k.Enc}, &answer, vaultWords, func(r *http.Request, _ []byte) {
		r.Header.Set("X-Vault-Token", token)
		r.Header.Set("X-Vault-Request", "true")
	})
	if err != nil {
		return nil, err
	}
	return decoded(base64.StdEncoding, answer.Data.Plaintext)
}

func vaultWords(body []byte) string {
	var said struct{ Errors []string }
	_ = json.Unmarshal(body, &said) // if it is anything else, it says nothing
	return strings.Join(said.Errors, "; ")
}

// An amazonKey is one of AWS KMS.
type amazonKey struct {
	ARN     string            `yaml:"arn"`
	Role    string            `yaml:"role"` // to be assumed; "" means none
	Context map[string]string `yaml:"context"`
	Enc     string            `yaml:"enc"`
}

func (k amazonKey) String() string           { return "AWS KMS " + k.ARN }
func (k amazonKey) file() string             { return amazonFile }
func (k amazonKey) usable(r remoteKeys) bool { return r.amazon != nil || r.may(cloud.AWS) }

func (k amazonKey) decrypt(c *calls, with remoteKeys) ([]byte, error) {
	arn := strings.SplitN(k.ARN, ":", 6)
	if len(arn) != 6 || arn[0] != "arn" || arn[2] != "kms" {
		return nil, errors.New("its arn is not one such as arn:aws:kms:eu-west-1:111122223333:key/1234abcd")
	}
	host, err := cloud.AmazonHost("kms", arn[1], arn[3])
	if err != nil {
		return nil, err
	}
	as, err := c.key(with, arn[3])
	if err != nil {
		return nil, err
	}
	who, err := k.who(c, as, arn[1], arn[3])
	if err != nil {
		return nil, err
	}
	in := map[string]any{"CiphertextBlob": k.Enc, "KeyId": k.ARN}
	if len(k.Context) > 0 {
		in["EncryptionContext"] = k.Context
	}
	var answer struct{ Plaintext string }
	err = c.ask("https://"+host+"/", in, &answer, amazonWords, func(r *http.Request, body []byte) {
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "TrentService.Decrypt")
		who.Sign(r, body, arn[3], "kms", c.now())
	})
	if err != nil {
		return nil, err
	}
	return decoded(base64.StdEncoding, answer.Plaintext)
}

// who returns the access key to ask with: if the document names a role, one of
// that.
func (k amazonKey) who(c *calls, as cloud.Amazon, partition, region string) (cloud.Amazon, error) {
	if k.Role == "" {
		return as, nil
	}
	name := region + " " + k.Role
	if as, ok := c.roles[name]; ok {
		return as, nil
	}
	host, err := cloud.AmazonHost("sts", partition, region)
	if err != nil {
		return as, err
	}
	if as, err = as.Assume(c.ctx, c.client, host, region, k.Role, c.now()); err != nil {
		return as, c.outage(err)
	}
	c.roles[name] = as
	return as, nil
}

func amazonWords(body []byte) string {
	var said struct {
		Type    string `json:"__type"`
		Message string
	}
	_ = json.Unmarshal(body, &said) // if it is anything else, it says nothing
	return strings.Trim(said.Type+": "+said.Message, ": ")
}

// A googleKey is one of Google Cloud KMS.
type googleKey struct {
	ID  string `yaml:"resource_id"`
	Enc string `yaml:"enc"`
}

func (k googleKey) String() string           { return "GCP KMS " + k.ID }
func (k googleKey) file() string             { return googleFile }
func (k googleKey) usable(r remoteKeys) bool { return r.google != nil || r.may(cloud.GCP) }

var googleID = lazy.Compile(`^projects/[\w.:-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+$`)

func (k googleKey) decrypt(c *calls, with remoteKeys) ([]byte, error) {
	if !googleID.MatchString(k.ID) {
		return nil, errors.New("its resource_id is not one such as projects/P/locations/L/keyRings/R/cryptoKeys/K")
	}
	var token string
	var err error
	if with.google == nil {
		token, err = c.pass(cloud.GCP, "")
	} else {
		token, err = c.token("google", func() (cloud.Token, error) {
			return with.google.Token(c.ctx, c.client, "https://www.googleapis.com/auth/cloudkms", c.now())
		})
	}
	if err != nil {
		return nil, err
	}
	var answer struct{ Plaintext string }
	at := "https://cloudkms.googleapis.com/v1/" + k.ID + ":decrypt"
	if err := c.ask(at, map[string]string{"ciphertext": k.Enc}, &answer, cloudWords, bearer(token)); err != nil {
		return nil, err
	}
	return decoded(base64.StdEncoding, answer.Plaintext)
}

// cloudWords is what Google and Azure say.
func cloudWords(body []byte) string {
	var said struct{ Error struct{ Message string } }
	_ = json.Unmarshal(body, &said) // if it is anything else, it says nothing
	return said.Error.Message
}

// An azureKey is one of Azure Key Vault.
type azureKey struct {
	URL     string `yaml:"vault_url"`
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
	Enc     string `yaml:"enc"`
}

func (k azureKey) String() string           { return "Azure Key Vault " + hidden(k.URL) + "/" + k.Name }
func (k azureKey) file() string             { return azureFile }
func (k azureKey) usable(r remoteKeys) bool { return r.azure != nil || r.may(cloud.Microsoft) }

// azureVaults are the domains of key vaults. A token for them goes nowhere else,
// whatever a document says.
var azureVaults = []string{
	"vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net",
	"managedhsm.azure.net", "managedhsm.azure.cn", "managedhsm.usgovcloudapi.net",
}

// where returns the host of the vault and what a token must be good for.
func (k azureKey) where() (host, resource string, err error) {
	u, err := url.Parse(k.URL)
	if err == nil && u.Scheme == "https" && u.User == nil && u.Port() == "" && strings.Trim(u.Path, "/") == "" {
		_, domain, _ := strings.Cut(u.Host, ".")
		if slices.Contains(azureVaults, domain) {
			return u.Host, "https://" + domain, nil
		}
	}
	return "", "", errors.New("its vault_url is not one such as https://NAME.vault.azure.net")
}

var azureName = lazy.Compile(`^[0-9A-Za-z-]+$`)

func (k azureKey) decrypt(c *calls, with remoteKeys) ([]byte, error) {
	host, resource, err := k.where()
	if err != nil {
		return nil, err
	}
	if !azureName.MatchString(k.Name) || k.Version != "" && !azureName.MatchString(k.Version) {
		return nil, errors.New("its name and version are none of a key in Azure Key Vault")
	}
	token := ""
	if with.azure == nil {
		token, err = c.pass(cloud.Microsoft, resource)
	} else {
		token, err = c.token(resource, func() (cloud.Token, error) {
			return with.azure.Token(c.ctx, c.client, resource, c.now())
		})
	}
	if err != nil {
		return nil, err
	}
	steps := []string{"https://" + host, "keys", k.Name, k.Version, "decrypt"}
	if k.Version == "" {
		steps = slices.Delete(steps, 3, 4)
	}
	var answer struct{ Value string }
	in := map[string]string{"alg": "RSA-OAEP-256", "value": k.Enc}
	if err := c.ask(strings.Join(steps, "/")+"?api-version=7.4", in, &answer, cloudWords, bearer(token)); err != nil {
		return nil, err
	}
	return decoded(base64.RawURLEncoding, answer.Value)
}
