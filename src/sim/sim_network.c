#include "sim/sim_network.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sim/sim_fault.h"
#include "sim/sim_link.h"

#define SIM_NETWORK_PORT_MAX 65535u

struct sim_alias {
    struct list link;
    char *name;
    struct sim_host *host;
};

/* Where the host begins, how long it is, and the port's text behind it; NULL when the form is another. */
static const char *sim_network_split(const char *text, const char **name, size_t *length)
{
    bool brackets = text[0] == '[';
    *name = brackets ? text + 1 : text;
    *length = strcspn(*name, brackets ? "]" : ":");
    const char *rest = *name + *length;
    if (brackets && *rest == ']') {
        rest++;
    }
    return *length > 0 && *rest == ':' ? rest + 1 : NULL;
}

int sim_network_parse(const char *text, struct sim_address *out)
{
    const char *name = NULL;
    size_t length = 0;
    const char *port = sim_network_split(text, &name, &length);
    size_t digits = port != NULL ? strspn(port, "0123456789") : 0;
    if (digits == 0 || port[digits] != '\0' || length >= sizeof(out->name)) {
        return error_raise(HF_EINVALID, "'%s' is not an address: <host>:<port>", text);
    }
    unsigned long number = strtoul(port, NULL, 10);
    if (number > SIM_NETWORK_PORT_MAX) {
        return error_raise(HF_EINVALID, "'%s': the port is above %u", text, SIM_NETWORK_PORT_MAX);
    }
    memcpy(out->name, name, length);
    out->name[length] = '\0';
    out->port = (unsigned)number;
    return 0;
}

static bool sim_network_means_self(const char *name)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(name, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

struct sim_host *sim_network_resolve(struct sim_host *asker, const char *name)
{
    struct sim *sim = asker->sim;
    if (sim_network_means_self(name)) {
        return asker;
    }
    for (unsigned i = 0; i < sim->host_count; i++) {
        if (strcmp(sim->hosts[i]->name, name) == 0) {
            return sim->hosts[i];
        }
    }
    list_each (&sim->aliases, item) {
        const struct sim_alias *alias = list_entry(item, struct sim_alias, link);
        if (strcmp(alias->name, name) == 0) {
            return alias->host;
        }
    }
    return NULL;
}

int sim_network_claim(struct sim_host *host, const char *name)
{
    struct sim_host *known = sim_network_resolve(host, name);
    if (known == host) {
        return 0;
    }
    if (known != NULL) {
        return error_raise(HF_EINVALID, "%s is the name of %s", name, known->name);
    }
    struct sim_alias *alias = memory_new(sizeof(*alias));
    alias->name = text_copy(name);
    alias->host = host;
    list_append(&host->sim->aliases, &alias->link);
    return 0;
}

void sim_network_close(struct sim *sim)
{
    list_each_safe (&sim->aliases, item) {
        struct sim_alias *alias = list_entry(item, struct sim_alias, link);
        list_remove(&alias->link);
        free(alias->name);
        free(alias);
    }
}

static bool sim_network_is_in(const struct sim_host *host, struct sim_host *const *side, size_t side_count)
{
    for (size_t i = 0; i < side_count; i++) {
        if (side[i] == host) {
            return true;
        }
    }
    return false;
}

void sim_network_partition(struct sim *sim, struct sim_host *const *side, size_t side_count)
{
    sim_fault_happened(sim, SIM_FAULT_PARTITION);
    for (size_t i = 0; i < side_count; i++) {
        for (unsigned other = 0; other < sim->host_count; other++) {
            struct sim_host *host = sim->hosts[other];
            if (!sim_network_is_in(host, side, side_count)) {
                sim_link_cut(side[i], host);
                sim_link_cut(host, side[i]);
            }
        }
    }
}

void sim_network_heal(struct sim *sim)
{
    sim_trace(sim, NULL, "every cut heals");
    sim_link_heal_all(sim);
}
