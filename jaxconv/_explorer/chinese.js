"use strict";

// What the page says, in Chinese.  Errors are the library's own and stay as they are.

const CHINESE = {
  "Convolution explorer": "卷积探索器",
  "Change a number and see what a convolution, or a transposed one, does with it. One channel; batch and channels repeat what is drawn here.":
    "改变一个数，看看卷积或转置卷积会怎样计算。这里只画一个通道，批次和其他通道重复同样的过程。",
  "Settings": "设置", "Operation": "运算", "conv": "卷积", "transposed conv": "转置卷积",
  "Axes": "维数", "1-D": "一维", "2-D": "二维",
  "rows and columns on their own": "行和列分别设置",
  "input": "输入", "kernel": "卷积核", "stride": "步幅", "padding": "填充",
  "dilation": "膨胀率", "output padding": "输出填充", "rows": "行", "columns": "列",
  "padding end": "末端填充", "other padding at the end": "末端用不同的填充",
  "Channels and groups": "通道与分组", "channels in": "输入通道",
  "channels out": "输出通道", "groups": "组数",
  "Rows are channels of the result, columns those of the input; every filled cell is a window of weights.":
    "行是结果的通道，列是输入的通道；每个有颜色的格子是一个窗口的权重。",
  "weights": "个权重",
  "the channels must be multiples of the groups": "通道数必须是组数的倍数",
  "depthwise": "逐通道卷积", "without groups": "不分组",
  "input values": "输入的值", "kernel values": "卷积核的值",
  "Copy a link to this setting": "复制此设置的链接",
  "Back to the last setting that worked": "回到上一个有效的设置",
  "Step by step": "逐步演示", "Seen as": "看作",
  "scatter: one to many": "散布：一对多", "zeros between, then conv": "插零后再卷积",
  "Play": "播放", "Pause": "暂停", "slow": "慢", "normal": "正常", "fast": "快",
  "Save SVG": "保存 SVG", "Save GIF": "保存 GIF", "Copy": "复制", "Overlap": "重叠", "Formulas": "公式",
  "Matrix": "矩阵", "Code": "代码", "result": "结果",
  "Keys: space plays and pauses, ← and → step, Home and End go to the first and the last step. Inside a slider or a number the arrows change it.":
    "按键：空格播放或暂停，← 和 → 单步，Home 和 End 到第一步和最后一步。焦点在滑块或数字中时，方向键改变它的值。",
  "Numbers are those of Dumoulin and Visin, “A guide to convolution arithmetic for deep learning”, arXiv:1603.07285. i input, k kernel, s stride, p padding, q that at the end, d dilation, o output, a output_padding; a prime marks the transposed convolution’s.":
    "编号取自 Dumoulin 和 Visin 的《A guide to convolution arithmetic for deep learning》（arXiv:1603.07285）。i 输入，k 卷积核，s 步幅，p 填充，q 末端的填充，d 膨胀率，o 输出，a 输出填充；带撇的属于转置卷积。",
  "No result: a rule is broken.": "没有结果：违反了一条规则。",
  "Rows, from the top": "从上到下",
  "padded input": "填充后的输入", "output": "输出",
  "stretched, bordered input": "插零加边后的输入", "result, before cropping": "裁剪前的结果",
  "the kernel": "卷积核", "the flipped kernel": "翻转后的卷积核",
  "flipped kernel": "翻转后的卷积核",
  "the kernel times one input": "卷积核乘以一个输入",
  "padding mode": "填充方式", "zeros": "零", "reflect": "反射",
  "replicate": "复制边缘", "circular": "循环", "zero between": "中间的零",
  "cut off": "被裁掉", "read or written now": "当前读写",
  "Windows over each result": "每个结果上的窗口数",
  "Windows over each result, inside": "内部每个结果上的窗口数",
  "a checkerboard": "棋盘格", "everywhere the same": "处处相同",
  "Equal weights leave a pattern unless the stride divides the kernel.":
    "除非步幅整除卷积核，相等的权重会留下图案。",
  "both flattened": "两者都展平", "entries that are not zero": "个非零元素",
  "multiply-adds": "次乘加", "of them on zeros or cut off": "次落在零上或被裁掉",
  "The lit column belongs": "高亮的列", "The lit row belongs": "高亮的行",
  "to the step above.": "对应上面的步骤。", "Too large to draw.": "太大，无法绘制。",
  "Size of the result": "结果的大小", "Left over": "剩余",
  "Back again, transposed": "转置后返回", "Zeros between inputs": "输入之间的零",
  "Border in front": "前边框", "Border behind": "后边框",
  "Back again, by the matching convolution": "由对应的卷积返回",
  "Span of the dilated kernel": "膨胀卷积核的跨度",
  "Elements at the end that no window reaches: the output_padding that leads back.":
    "末尾没有窗口到达的元素：返回时所需的 output_padding。",
  "The shape that went in, not its values: transposing does not invert.":
    "恢复的是形状而不是数值：转置不是求逆。",
  "Below zero it crops. Then the flipped kernel slides with stride 1.":
    "小于零时裁剪。然后翻转后的卷积核以步幅 1 滑动。",
  "Not the size that went in: output_padding is not below stride.":
    "不是原来的大小：output_padding 不小于步幅。",
};

let language = "en";
const originals = new WeakMap(); // what a text of the page's HTML says in English

function t(text) {
  return language === "zh" ? (CHINESE[text] ?? text) : text;
}

/** The page's own words; what is made anew says its own with `t`. */
function translate(wanted) {
  if (language === wanted) return;
  language = wanted;
  document.documentElement.lang = wanted;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (["SCRIPT", "STYLE", "PRE"].includes(node.parentNode.tagName)) continue;
    const first = originals.get(node) ?? node.data;
    originals.set(node, first);
    const words = first.trim().replace(/\s+/g, " ");
    if (words in CHINESE) node.data = wanted === "zh" ? CHINESE[words] : first;
  }
  document.getElementById("language").textContent = wanted === "zh" ? "English" : "中文";
}
