/* Newtonian gravity among five bodies, symplectic Euler steps: few values, long dependent chains, a square root and a
 * division a pair. The bodies are made up. */

#include "bench.h"

#define BODIES 5
#define STEPS 300000
#define DELTA 0.001
#define EXPECTED 0xf423adb575f4c061

struct body {
    double position[3], velocity[3], mass;
};

static struct body bodies[BODIES];

static void pull(struct body *one, struct body *other, double delta) {
    double difference[3], square = 0;
    for (int axis = 0; axis < 3; axis++) {
        difference[axis] = one->position[axis] - other->position[axis];
        square += difference[axis] * difference[axis];
    }
    double strength = delta / (square * __builtin_sqrt(square));
    for (int axis = 0; axis < 3; axis++) {
        one->velocity[axis] -= difference[axis] * other->mass * strength;
        other->velocity[axis] += difference[axis] * one->mass * strength;
    }
}

static NOINLINE void advance(double delta) {
    for (int i = 0; i < BODIES; i++)
        for (int j = i + 1; j < BODIES; j++)
            pull(&bodies[i], &bodies[j], delta);
    for (int i = 0; i < BODIES; i++)
        for (int axis = 0; axis < 3; axis++)
            bodies[i].position[axis] += delta * bodies[i].velocity[axis];
}

int main(void) {
    for (int i = 0; i < BODIES; i++) {
        bodies[i].mass = i ? 0.001 * i : 40.0;
        for (int axis = 0; axis < 3; axis++) {
            bodies[i].position[axis] = i ? 6.0 * i * fraction_at((uint64_t)(3 * i + axis)) : 0.0;
            bodies[i].velocity[axis] = i ? fraction_at((uint64_t)(100 + 3 * i + axis)) : 0.0;
        }
    }
    for (int step = 0; step < STEPS; step++)
        advance(DELTA);
    uint64_t result = 0;
    for (int i = 0; i < BODIES; i++)
        for (int axis = 0; axis < 3; axis++)
            result = mix(mix(result, bits_of(bodies[i].position[axis])), bits_of(bodies[i].velocity[axis]));
    return verdict("nbody", result, EXPECTED);
}
