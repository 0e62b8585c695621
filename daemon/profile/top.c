/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See top.h. The figures are those of pprof's graph: nodes by name, edges from caller to callee
 * only where the profile has inlined calls, since nothing but the "(inline)" mark needs them.
 */
#include "profile/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "profile/id_table.h"
#include "profile/prune.h"
#include "profile/shown_name.h"

/* Calls below this share of the whole do not decide about the "(inline)" mark, as in pprof. */
#define EDGE_FRACTION 0.001

struct node {
	struct top_entry entry;
	const char *sort_name; /* what pprof shows, and so sorts by: "[[vdso]]" */
	uint32_t object;       /* nameless code: its mapping's file + 1; 0: a function */
	uint32_t seen_sample;  /* the last sample counted in cum, + 1 */
	bool is_kept;
};

struct edge {
	uint32_t caller, callee; /* nodes */
	uint32_t seen_sample;
	bool is_inline;
	int64_t weight;
};

struct graph {
	const struct profile *p;
	struct prune *prune;
	struct top_table *table;
	size_t value_idx;
	struct node *nodes;
	struct edge *edges;
	size_t nodes_cnt, nodes_cap, edges_cnt, edges_cap;
	struct id_table by_name, by_edge;
	uint64_t seed;
	uint32_t *of_function; /* node + 1; 0: not yet, or the function has no name */
	uint32_t *of_location; /* the same, for what has no name at this location */
	bool has_inlines;
};

typedef void (*frame_fn)(struct graph *g, uint32_t node, bool is_inline, void *ctx);

static void graph_done(struct graph *g)
{
	prune__free(g->prune);
	free(g->nodes);
	free(g->edges);
	free(g->of_function);
	free(g->of_location);
	id_table__done(&g->by_name);
	id_table__done(&g->by_edge);
}

const char *top__basename(const char *path, size_t *ret_len)
{
	size_t end = strlen(path), start;

	*ret_len = 1;
	if (!end)
		return ".";
	while (end > 1 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		;
	if (start == end)
		return "/";
	*ret_len = end - start;
	return path + start;
}

/* Makes a string of the table's own; NULL: out of memory. */
static const char *own_string(struct top_table *t, char *s)
{
	if (!s || array__reserve(t->owned, t->owned_cap, t->owned_cnt + 1)) {
		free(s);
		return NULL;
	}
	t->owned[t->owned_cnt++] = s;
	return s;
}

static const char *module_name(struct graph *g, uint32_t mapping)
{
	const char *file = mapping ? profile__str(g->p, g->p->mappings[mapping - 1].file) : "";
	const char *base;
	size_t len;

	if (!*file)
		return "";
	base = top__basename(file, &len);
	return base[len] ? own_string(g->table, strndup(base, len)) : base;
}

/* "[libc.so.6]", but "[vdso]" and "[JIT]" as they are. */
static int name_object(struct graph *g, struct node *node)
{
	const char *module = node->entry.module;
	size_t len = strlen(module);
	char *name;

	if (!len) {
		node->sort_name = node->entry.name = "<unknown>";
		return 0;
	}
	if (asprintf(&name, "[%s]", module) < 0)
		return -ENOMEM;
	node->sort_name = own_string(g->table, name);
	node->entry.name = module[0] == '[' && module[len - 1] == ']' ? module : node->sort_name;
	return node->sort_name ? 0 : -ENOMEM;
}

static bool node_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct node *a = &((const struct graph *)ctx)->nodes[id - 1], *b = key;

	return a->object == b->object && (a->object || !strcmp(a->entry.name, b->entry.name));
}

static int find_node(struct graph *g, struct node *node, uint32_t mapping, uint32_t *ret)
{
	uint64_t h = id_hash__mix(g->seed, node->object);
	uint32_t hash;

	if (!node->object)
		h = id_hash__bytes(h, node->entry.name, strlen(node->entry.name));
	hash = id_hash__fold(h);
	*ret = id_table__find(&g->by_name, hash, node_equal, g, node);
	if (*ret)
		return 0;
	node->entry.module = module_name(g, mapping);
	node->sort_name = node->entry.name;
	if (!node->entry.module || (node->object && name_object(g, node)) ||
	    g->nodes_cnt >= UINT32_MAX - 1 || id_table__reserve(&g->by_name) ||
	    array__reserve(g->nodes, g->nodes_cap, g->nodes_cnt + 1))
		return -ENOMEM;
	g->nodes[g->nodes_cnt++] = *node;
	*ret = (uint32_t)g->nodes_cnt;
	id_table__add(&g->by_name, hash, *ret);
	return 0;
}

static int find_object_node(struct graph *g, uint32_t mapping, uint32_t *ret)
{
	uint32_t file = mapping ? g->p->mappings[mapping - 1].file : 0;
	struct node node = { .object = file + 1, .entry.file = "" };

	return find_node(g, &node, mapping, ret);
}

static int find_function_node(struct graph *g, const struct profile_function *f, uint32_t mapping,
			      uint32_t *ret)
{
	struct node node = { .entry.file = profile__str(g->p, f->filename) };
	char *owned;

	node.entry.name = shown_name__get(g->p, f, &owned);
	if (!node.entry.name || (owned && !own_string(g->table, owned)))
		return -ENOMEM;
	if (!*node.entry.name)
		return 0;
	return find_node(g, &node, mapping, ret);
}

static int make_location_nodes(struct graph *g, size_t i)
{
	const struct profile_location *l = &g->p->locations[i];
	bool has_nameless = !l->lines_cnt;
	size_t k;
	int err;

	for (k = 0; k < l->lines_cnt; k++) {
		uint32_t id = l->lines[k].function, *node = &g->of_function[id - 1];

		if (*node)
			continue;
		err = find_function_node(g, &g->p->functions[id - 1], l->mapping, node);
		if (err)
			return err;
		has_nameless |= !*node;
	}
	g->has_inlines |= l->lines_cnt > 1;
	return has_nameless ? find_object_node(g, l->mapping, &g->of_location[i]) : 0;
}

static int make_nodes(struct graph *g)
{
	const struct profile *p = g->p;
	size_t i;
	int err = 0;

	g->of_function = calloc(p->functions_cnt + 1, sizeof(*g->of_function));
	g->of_location = calloc(p->locations_cnt + 1, sizeof(*g->of_location));
	if (!g->of_function || !g->of_location)
		return -ENOMEM;
	for (i = 0; !err && i < p->locations_cnt; i++)
		err = make_location_nodes(g, i);
	return err;
}

/* The node of a line; without one, of the location's file. */
static uint32_t frame_node(const struct graph *g, uint32_t location,
			   const struct profile_line *line)
{
	uint32_t node = line ? g->of_function[line->function - 1] : 0;

	return (node ?: g->of_location[location - 1]) - 1;
}

/* Calls fn for every frame of a sample, the root first. */
static void walk_frames(struct graph *g, const struct profile_sample *s, frame_fn fn, void *ctx)
{
	uint32_t first = prune__first_location(g->prune, s), i;
	size_t k;

	for (i = s->locations_cnt; i > first; i--) {
		uint32_t id = s->locations[i - 1];
		const struct profile_location *l = &g->p->locations[id - 1];

		if (!l->lines_cnt)
			fn(g, frame_node(g, id, NULL), false, ctx);
		for (k = l->lines_cnt; k > prune__first_line(g->prune, id); k--)
			fn(g, frame_node(g, id, &l->lines[k - 1]), k != l->lines_cnt, ctx);
	}
}

/* Sums wrap like pprof's instead of being undefined: foreign values may be anything. */
static int64_t add_wrapping(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t absolute(int64_t v)
{
	return v < 0 ? (int64_t) - (uint64_t)v : v;
}

struct walk {
	uint32_t sample; /* number of the sample, from 1 */
	uint32_t parent; /* node + 1; 0: none */
	int64_t value;
	int err;
};

static void count_frame(struct graph *g, uint32_t node, bool is_inline, void *ctx)
{
	struct walk *w = ctx;
	struct node *n = &g->nodes[node];

	if (n->seen_sample != w->sample) {
		n->seen_sample = w->sample;
		n->entry.cum = add_wrapping(n->entry.cum, w->value);
	}
	w->parent = node + 1;
}

static void count_nodes(struct graph *g)
{
	size_t i;

	for (i = 0; i < g->p->samples_cnt; i++) {
		const struct profile_sample *s = &g->p->samples[i];
		struct walk w = { .sample = (uint32_t)i + 1, .value = s->values[g->value_idx] };

		if (!w.value)
			continue;
		walk_frames(g, s, count_frame, &w);
		if (w.parent) {
			struct top_entry *leaf = &g->nodes[w.parent - 1].entry;

			leaf->flat = add_wrapping(leaf->flat, w.value);
		}
	}
}

static bool edge_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct edge *a = &((const struct graph *)ctx)->edges[id - 1], *b = key;

	return a->caller == b->caller && a->callee == b->callee;
}

static int add_edge(struct graph *g, const struct edge *edge)
{
	uint32_t hash =
		id_hash__fold(id_hash__mix(g->seed, (uint64_t)edge->caller << 32 | edge->callee));
	uint32_t id = id_table__find(&g->by_edge, hash, edge_equal, g, edge);
	struct edge *e;

	if (!id) {
		if (g->edges_cnt >= UINT32_MAX - 1 || id_table__reserve(&g->by_edge) ||
		    array__reserve(g->edges, g->edges_cap, g->edges_cnt + 1))
			return -ENOMEM;
		g->edges[g->edges_cnt++] = *edge;
		id_table__add(&g->by_edge, hash, (uint32_t)g->edges_cnt);
		return 0;
	}
	e = &g->edges[id - 1];
	/* A call seen twice in one stack counts once, with what was seen first. */
	if (e->seen_sample == edge->seen_sample)
		return 0;
	e->seen_sample = edge->seen_sample;
	e->weight = add_wrapping(e->weight, edge->weight);
	e->is_inline &= edge->is_inline;
	return 0;
}

static void count_call(struct graph *g, uint32_t node, bool is_inline, void *ctx)
{
	struct walk *w = ctx;

	if (!g->nodes[node].is_kept)
		return;
	if (w->parent && w->parent != node + 1 && !w->err)
		w->err = add_edge(g, &(struct edge){ .caller = w->parent - 1,
						     .callee = node,
						     .seen_sample = w->sample,
						     .is_inline = is_inline,
						     .weight = w->value });
	w->parent = node + 1;
}

/* Marks inlined functions by the calls between the nodes that are shown. */
static int mark_inlines(struct graph *g, int64_t edge_cutoff)
{
	struct mark {
		bool is_inlined, is_called;
	};
	_cleanup_free_ struct mark *marks = calloc(g->nodes_cnt + 1, sizeof(*marks));
	size_t i;

	if (!marks)
		return -ENOMEM;
	for (i = 0; i < g->p->samples_cnt; i++) {
		const struct profile_sample *s = &g->p->samples[i];
		struct walk w = { .sample = (uint32_t)i + 1, .value = s->values[g->value_idx] };

		if (w.value)
			walk_frames(g, s, count_call, &w);
		if (w.err)
			return w.err;
	}
	for (i = 0; i < g->edges_cnt; i++) {
		const struct edge *e = &g->edges[i];

		if (absolute(e->weight) < edge_cutoff)
			continue;
		if (e->is_inline)
			marks[e->callee].is_inlined = true;
		else
			marks[e->callee].is_called = true;
	}
	for (i = 0; i < g->nodes_cnt; i++)
		if (marks[i].is_inlined)
			g->nodes[i].entry.inlining =
				marks[i].is_called ? TOP_PARTLY_INLINED : TOP_INLINED;
	return 0;
}

static int compare_values(int64_t a, int64_t b)
{
	uint64_t x = (uint64_t)absolute(a), y = (uint64_t)absolute(b);

	return x == y ? 0 : x > y ? -1 : 1;
}

/* Code of two files with one basename, by path; a function first. */
static int compare_objects(const struct profile *p, uint32_t a, uint32_t b)
{
	if (!a || !b)
		return (a != 0) - (b != 0);
	return strcmp(profile__str(p, a - 1), profile__str(p, b - 1));
}

static int compare_nodes(const void *a_, const void *b_, void *ctx)
{
	const struct graph *g = ((void **)ctx)[0];
	enum top_order order = *(const enum top_order *)((void **)ctx)[1];
	const struct node *a = &g->nodes[*(const uint32_t *)a_];
	const struct node *b = &g->nodes[*(const uint32_t *)b_];
	int by_flat = compare_values(a->entry.flat, b->entry.flat);
	int by_cum = compare_values(a->entry.cum, b->entry.cum);

	return (order == TOP_BY_CUM ? by_cum : by_flat) ?:
	       strcmp(a->sort_name, b->sort_name) ?:
	       (order == TOP_BY_CUM ? by_flat : by_cum) ?:
	       compare_objects(g->p, a->object, b->object);
}

/* The sum of all samples; of those of the base only, where the profile is a difference. */
static int64_t total_value(const struct profile *p, size_t value_idx)
{
	int64_t total = 0, base_total = 0;
	size_t i;
	uint32_t k;

	for (i = 0; i < p->samples_cnt; i++) {
		const struct profile_sample *s = &p->samples[i];
		int64_t v = absolute(s->values[value_idx]);

		total = add_wrapping(total, v);
		for (k = 0; k < s->labels_cnt; k++)
			if (s->labels[k].str &&
			    !strcmp(profile__str(p, s->labels[k].key), "pprof::base") &&
			    !strcmp(profile__str(p, s->labels[k].str), "true")) {
				base_total = add_wrapping(base_total, v);
				break;
			}
	}
	return base_total > 0 ? base_total : total;
}

/* What a fraction of the flat values is, in pprof's arithmetic. */
static int64_t cutoff_value(const struct graph *g, double fraction)
{
	int64_t sum = 0;
	size_t i;

	for (i = 0; i < g->nodes_cnt; i++)
		sum = add_wrapping(sum, g->nodes[i].entry.flat);
	return absolute((int64_t)((double)sum * fraction));
}

/* Nodes worth showing, sorted; *ret_cnt of them. */
static uint32_t *select_nodes(struct graph *g, const struct top_options *opts, size_t *ret_cnt)
{
	int64_t cutoff = cutoff_value(g, opts->node_fraction);
	uint32_t *order = calloc(g->nodes_cnt + 1, sizeof(*order));
	enum top_order by = opts->order;
	size_t i, cnt = 0;

	for (i = 0; order && i < g->nodes_cnt; i++) {
		const struct top_entry *e = &g->nodes[i].entry;

		if (!e->flat && !e->cum)
			continue;
		if (cutoff > 0 && absolute(e->cum) < cutoff)
			g->table->dropped_cnt++;
		else
			order[cnt++] = (uint32_t)i;
	}
	if (cnt)
		qsort_r(order, cnt, sizeof(*order), compare_nodes, (void *[]){ g, &by });
	g->table->kept_cnt = cnt;
	*ret_cnt = opts->rows_max && opts->rows_max < cnt ? opts->rows_max : cnt;
	return order;
}

static int fill_table(struct graph *g, const struct top_options *opts)
{
	_cleanup_free_ uint32_t *order = NULL;
	size_t i, cnt = 0;
	int err = 0;

	order = select_nodes(g, opts, &cnt);
	if (!order)
		return -ENOMEM;
	for (i = 0; i < cnt; i++)
		g->nodes[order[i]].is_kept = true;
	if (g->has_inlines)
		err = mark_inlines(g, opts->node_fraction > 0 ? cutoff_value(g, EDGE_FRACTION) : 0);
	if (err)
		return err;
	g->table->entries = calloc(cnt + 1, sizeof(*g->table->entries));
	if (!g->table->entries)
		return -ENOMEM;
	for (i = 0; i < cnt; i++)
		g->table->entries[i] = g->nodes[order[i]].entry;
	g->table->entries_cnt = cnt;
	return 0;
}

int top__compute(const struct profile *p, const struct top_options *opts, struct top_table **ret)
{
	_cleanup_(top__freep) struct top_table *t = NULL;
	_cleanup_(graph_done) struct graph g = { .p = p, .value_idx = opts->value_idx };
	int err;

	if (opts->value_idx >= p->sample_types_cnt)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	g.table = t;
	g.seed = id_hash__seed();
	t->total = total_value(p, opts->value_idx);
	err = prune__new(p, &g.prune) ?: make_nodes(&g);
	if (err)
		return err;
	count_nodes(&g);
	err = fill_table(&g, opts);
	if (err)
		return err;
	*ret = take_ptr(t);
	return 0;
}

void top__free(struct top_table *t)
{
	size_t i;

	if (!t)
		return;
	for (i = 0; i < t->owned_cnt; i++)
		free(t->owned[i]);
	free(t->owned);
	free(t->entries);
	free(t);
}

struct top_leaves {
	struct graph graph;
	struct top_table *table; /* owns names */
};

int top_leaves__new(const struct profile *p, struct top_leaves **ret)
{
	_cleanup_(top_leaves__freep) struct top_leaves *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->table = calloc(1, sizeof(*l->table));
	if (!l->table)
		return -ENOMEM;
	l->graph = (struct graph){ .p = p, .table = l->table, .seed = id_hash__seed() };
	err = prune__new(p, &l->graph.prune) ?: make_nodes(&l->graph);
	if (err)
		return err;
	*ret = take_ptr(l);
	return 0;
}

void top_leaves__free(struct top_leaves *l)
{
	if (!l)
		return;
	graph_done(&l->graph);
	top__free(l->table);
	free(l);
}

struct innermost {
	size_t *frames;
	size_t cnt, max;
};

/* The root comes first: each frame pushes the others outwards. */
static void note_innermost(struct graph *g, uint32_t node, bool is_inline, void *ctx)
{
	struct innermost *in = ctx;

	in->cnt += in->cnt < in->max;
	memmove(in->frames + 1, in->frames, (in->cnt - 1) * sizeof(*in->frames));
	in->frames[0] = node;
}

size_t top_leaves__frames(struct top_leaves *l, const uint32_t *locations, uint32_t locations_cnt,
			  size_t *frames, size_t frames_max)
{
	const struct profile_sample s = { .locations = locations, .locations_cnt = locations_cnt };
	struct innermost in = { .frames = frames, .max = frames_max };

	walk_frames(&l->graph, &s, note_innermost, &in);
	return in.cnt;
}

size_t top_leaves__cnt(const struct top_leaves *l)
{
	return l->graph.nodes_cnt;
}

const struct top_entry *top_leaves__entry(const struct top_leaves *l, size_t idx)
{
	return &l->graph.nodes[idx].entry;
}
