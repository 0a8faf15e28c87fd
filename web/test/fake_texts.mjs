// What the fake server says.

const rich = `Light from the sun is a mix of all colours. On its way through the air it meets molecules that are **much smaller** than its wavelength, and these scatter it.

## How strongly

Rayleigh's law says how the scattered intensity depends on the wavelength $\\lambda$:

\\[
I(\\lambda) \\propto \\frac{1}{\\lambda^4}
\\]

so that blue light, with \\(\\lambda \\approx 450\\,\\text{nm}\\), is scattered about $5.5$ times as strongly as red.

| colour | wavelength | scattered, relative |
|:--|--:|--:|
| violet | 400 nm | 9.4 |
| blue | 450 nm | 5.9 |
| green | 530 nm | 3.0 |
| red | 700 nm | 1.0 |

1. The sun's spectrum has less violet than blue.
2. Our eyes are less sensitive to violet.
   - the cones overlap
   - the lens absorbs some

> At sunset the light's way through the air is so long that most of the blue is gone.

A small program that computes the table:

\`\`\`python
import math

def scattered(wavelength: float, reference: float = 700) -> float:
    """Relative to red light."""
    return (reference / wavelength) ** 4

for name, wavelength in {"violet": 400, "blue": 450, "red": 700}.items():
    print(f"{name:8} {scattered(wavelength):.1f}")  # one line each
\`\`\`

See [the article](https://en.wikipedia.org/wiki/Rayleigh_scattering) for more, or \`man units\`. It costs $5 to $9.
`;

const chinese = `快速排序的思路是**分而治之**：选一个基准，把小的放左边，大的放右边，再分别排序。

\`\`\`cpp
template <typename T>
void QuickSort(std::span<T> items) {
  if (items.size() < 2) return;
  const T pivot = items[items.size() / 2];
  auto middle = std::ranges::partition(items, [&](const T& each) { return each < pivot; });
  QuickSort(std::span<T>(items.begin(), middle.begin()));
}
\`\`\`

平均时间复杂度是 $O(n \\log n)$，最坏情况是 $O(n^2)$。
`;

export function sample(question) {
  const words = Number(/(\d+) words/.exec(question)?.[1] ?? 0);
  if (words > 0) {
    if (/list/.test(question)) return sentences(words).replaceAll(/(\w+ ){10}/g, '\n- $&').replaceAll('\n\n', ' ');
    if (/paragraph/.test(question)) return sentences(words).replaceAll('\n', ' ');
    if (/table/.test(question)) return `| a | b |\n|--|--|\n${'| some *words* | in `cells` of it |\n'.repeat(words / 7)}`;
    return sentences(words);
  }
  if (/^code (\d+)/.test(question)) return `\`\`\`js\n${'const value = compute(1, "two"); // three\n'.repeat(Number(/\d+/.exec(question)[0]))}\`\`\`\n`;
  if (/^turn \d/.test(question)) return `${question}: ${sentences(60)}\n\n- one **bold** thing\n- another \`thing\`\n\n\`\`\`js\nconst a = 1;\nconst b = "two";\n\`\`\`\n\nThat is $x^2$.`;
  if (/\p{Script=Han}/u.test(question)) return chinese;
  if (/more/.test(question)) return 'There is not much more to say: the **same law** also explains why distant mountains look blue, and why the moon\'s sky is black.';
  return rich;
}

function sentences(words) {
  const some = 'the quick model reads a long prompt and writes its answer one word after the other until it has said enough'.split(' ');
  let text = '';
  for (let index = 0; index < words; index++) {
    text += some[index % some.length];
    text += index % 120 === 119 ? '.\n\n' : index % 21 === 20 ? ', ' : ' ';
  }
  return text;
}
