/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See timeline.h.
 */
#include "session/timeline.h"

#include <errno.h>
#include <string.h>
#include "base/array.h"

struct timeline_item {
	uint64_t time_ns;
	uint64_t sequence;           /* of arrival: keeps the sort stable */
	struct process_event *event; /* or NULL: */
	struct sample *sample;
};

struct timeline {
	struct timeline_item *items;
	size_t items_cnt, items_cap;
	uint64_t sequence;
};

struct timeline *timeline__new(void)
{
	return calloc(1, sizeof(struct timeline));
}

static void free_item(struct timeline_item *item)
{
	if (item->event)
		free(item->event->path);
	free(item->event);
	free(item->sample);
}

void timeline__free(struct timeline *t)
{
	size_t i;

	if (!t)
		return;
	for (i = 0; i < t->items_cnt; i++)
		free_item(&t->items[i]);
	free(t->items);
	free(t);
}

static int push_item(struct timeline *t, struct timeline_item item)
{
	int err;

	err = array__reserve(t->items, t->items_cap, t->items_cnt + 1);
	if (err)
		return err;
	item.sequence = t->sequence++;
	t->items[t->items_cnt++] = item;
	return 0;
}

/* One allocation: the sample, its frames, and what a cold one carries. A wait has neither. */
int timeline__push_sample(struct timeline *t, const struct sample *s)
{
	size_t kernel_bytes = s->kernel_cnt * sizeof(*s->kernel);
	size_t user_bytes = s->user_cnt * sizeof(*s->user);
	size_t regs_bytes = s->regs ? (UNWIND_REG_CNT + 1) * sizeof(*s->regs) : 0;
	_cleanup_free_ struct sample *copy =
		malloc(sizeof(*copy) + kernel_bytes + user_bytes + regs_bytes + s->stack_bytes);
	char *data;
	int err;

	if (!copy)
		return -ENOMEM;
	*copy = *s;
	data = (char *)(copy + 1);
	if (kernel_bytes)
		copy->kernel = memcpy(data, s->kernel, kernel_bytes);
	data += kernel_bytes;
	if (user_bytes)
		copy->user = memcpy(data, s->user, user_bytes);
	data += user_bytes;
	if (s->regs) {
		copy->regs = memcpy(data, s->regs, regs_bytes);
		copy->stack = memcpy(data + regs_bytes, s->stack, s->stack_bytes);
	}
	err = push_item(t, (struct timeline_item){ .time_ns = s->time_ns, .sample = copy });
	if (err)
		return err;
	copy = NULL;
	return 0;
}

int timeline__push_event(struct timeline *t, struct process_event *ev)
{
	struct process_event *copy = malloc(sizeof(*copy));
	int err = -ENOMEM;

	if (copy) {
		*copy = *ev;
		err = push_item(t, (struct timeline_item){ .time_ns = ev->time_ns, .event = copy });
	}
	if (err) {
		free(ev->path);
		free(copy);
	}
	ev->path = NULL;
	return err;
}

static int compare_items(const void *va, const void *vb)
{
	const struct timeline_item *a = va, *b = vb;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	if (!a->event != !b->event)
		return a->event ? -1 : 1;
	return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

int timeline__flush(struct timeline *t, uint64_t before_ns, const struct timeline_ops *ops)
{
	int first_err = 0, err;
	size_t i;

	if (!t->items_cnt)
		return 0;
	qsort(t->items, t->items_cnt, sizeof(*t->items), compare_items);
	for (i = 0; i < t->items_cnt && t->items[i].time_ns < before_ns; i++) {
		struct timeline_item *item = &t->items[i];

		if (item->event)
			err = ops->on_event(item->event, ops->ctx);
		else
			err = ops->on_sample(item->sample, ops->ctx);
		first_err = first_err ?: err;
		free_item(item);
	}
	t->items_cnt -= i;
	memmove(t->items, t->items + i, t->items_cnt * sizeof(*t->items));
	return first_err;
}
