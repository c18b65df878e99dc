"""The numbers of the context model, learnt on post-ReLU maps of one network and rectified projections of another's.

Nine maps of two videos at ten steps each from fine to coarse, after rate-distortion optimised decisions at lambda 0.3.
Generated, not written by hand.
"""

from __future__ import annotations

import base64
import zlib
from typing import Final

import numpy as np

CHANGE_WEIGHTS: Final = (
    (-46, -8, -31, -14, -42, 14, -1, 18, 3, 61, 56, 7, 19, 0, 14, -11),
    (1, 1, 5, 0, 5, 0, -1, 0, -2, -2, -3, -3, -2, 0, 7, -6),
    (12, 0, 4, 2, 3, 0, -1, -1, -2, -3, -4, -2, -4, 0, 5, -7),
    (3, 0, 4, 2, 5, 0, -1, -1, -2, -5, -5, -1, -4, 0, 5, -8),
    (-5, 1, 8, 2, 7, 0, -1, -1, -2, -8, -9, -2, -3, 0, 5, -8),
    (-4, 0, 6, 1, 7, 1, -1, -1, -2, -7, -7, -1, -3, 0, 4, -9),
    (-5, 0, 5, 2, 7, 1, -1, -1, -2, -7, -6, -1, -3, 33, 4, -9),
    (-4, 0, 7, 2, 8, 0, -1, -1, -2, -8, -8, -1, -3, 50, 4, -9),
    (-5, 0, 8, 2, 11, 1, -1, 0, -1, -10, -9, -1, -3, 29, 5, -7),
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 59, 51, 2, 30, 0, 0, 0),
)  # fmt: skip
"""(10 buckets, 16 features), 1/256 of a table row per feature unit."""

CHANGE_BIASES: Final = (
    (2618, 1403, 1668, 2017, 2444, 2854, 3085, 3463, 3943),
    (1311, 81, 705, 1058, 1256, 1509, 1764, 2088, 2588),
    (1596, 439, 1012, 1333, 1513, 1704, 1906, 2150, 2439),
    (1909, 601, 1221, 1588, 1777, 1984, 2196, 2454, 2741),
    (2166, 770, 1374, 1749, 1991, 2212, 2425, 2704, 3007),
    (2336, 792, 1487, 1902, 2131, 2354, 2571, 2843, 3139),
    (1714, 180, 799, 1216, 1454, 1680, 1893, 2172, 2500),
    (1307, -349, 290, 765, 999, 1220, 1460, 1738, 2055),
    (1784, 125, 698, 1175, 1425, 1625, 1836, 2121, 2501),
    (2321, 2321, 2321, 2321, 2321, 2321, 2321, 2321, 2321),
)  # fmt: skip
"""(10 buckets, 9 token classes)."""

LEVEL_WEIGHTS: Final = (
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    (27, -12, -40, -17, -47, 0, -1, 0, 0, 52, 46, 11, 19, -36, 2, 2),
    (-49, -13, -62, -28, -71, 3, -2, 4, 1, 80, 70, 12, 31, -12, 1, 10),
    (-29, -14, -58, -26, -71, 2, -2, 4, 1, 80, 67, 13, 29, -37, 0, 12),
    (-9, -15, -57, -26, -70, 2, -2, 3, 1, 80, 66, 13, 28, -56, 0, 13),
    (-9, -14, -60, -26, -71, 2, -2, 2, 1, 79, 68, 12, 28, -55, 0, 12),
    (-8, -15, -57, -25, -71, 2, -2, 2, 1, 80, 66, 13, 27, -72, 0, 13),
    (-6, -15, -56, -24, -70, 1, -2, 2, 0, 78, 64, 13, 26, -58, 0, 13),
    (-5, -14, -48, -23, -62, 0, -1, 0, 1, 68, 52, 12, 24, -66, -1, 14),
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
)  # fmt: skip
"""(10 buckets, 16 features); none after a zero and in a first row."""

LEVEL_BIASES: Final = (
    (0, 0, 0, 0, 0, 0, 0, 0, 0),
    (1147, 1100, 1103, 1109, 1118, 1112, 1137, 1176, 1321),
    (1151, 1250, 1229, 1211, 1204, 1177, 1152, 1036, 954),
    (1150, 1244, 1233, 1219, 1196, 1171, 1148, 1052, 933),
    (1117, 1208, 1201, 1182, 1135, 1117, 1119, 998, 949),
    (1149, 1243, 1245, 1216, 1186, 1161, 1172, 1067, 899),
    (1410, 1521, 1538, 1513, 1460, 1442, 1450, 1366, 1245),
    (1146, 1227, 1246, 1215, 1172, 1136, 1161, 1100, 906),
    (1345, 1463, 1486, 1450, 1401, 1351, 1380, 1316, 1070),
    (0, 0, 0, 0, 0, 0, 0, 0, 0),
)  # fmt: skip
"""(10 buckets, 9 token classes)."""

_COUNTS: Final = (
    "c-qZ;iIUvL4kRl`)_wBmp7;Mhx|u+6q#0Y59I@V5Mp)I;9yRI!5}7Ep{`bGXJ|FtL@w~pg%Qs%H8_#uJ=Xspx`F`DJ*q88nT{#B3;5V)kLjL"
    "%8-7Rr^U%ez5k5&rC`y8!dd|l@;INo@{5635;ANt~&=I^&Wua^uT^9BEozVoixE_lMIc{gTR&Qa`Y7JK#T_jQf;=)vx;ypEB52<0WSDD8b;N"
    "AG>m)`3TiVokKg<-PUAtxJ}9yfE|EGrkUe@<RLTQnO!|#Vvi=R=n^>c9_Q&PyCO~*vw6EHspJ>96~DCgqlljm=AWN4{pL3<9Ne3w)LWQZ1Sz"
    "M;5;~s>;8CMZyoa+zdu&4e%Y30yy2@J-G&!&q_|@nFpuEZ)t0O0Xss)phxf5um`6&v-e<41w*I<hI}RKtR)u|#-M~J`S#ut8>@pwx?)7nVEU"
    "hm3c%6vB8!#VoH<%RWQG>T;_2q&ytb5dX_=K^g2>W^*wcpq1t@ndYf#-Uu`Ac?z_SNffKKKFS$GbMJe|a9G!=Cx4!+uzKXW$$b?El$fST~<I"
    "4{LqKvLnyo!ZBbU8kXO%4+G~iI?h4oah@+Z4V?#;&v|feJcsLbmcIPraY<*?ljlC9qXoa1Jzf~iYQtGMkB|<G-UrODq!?3$-^zZ#I~(V5AIH"
    "EvuA9@qz_UNEfpg#(uH`q+Uc^0YP5Zv=i${3CVK;xk8#m|ui2J%(7vMLm-F<A)?JlO$6L$w2g4l(7jHA}hiJbTo)41=0L4tVIz!~m?!_jNT4"
    "gnf^!iy8mjq`rfrLnz%K{pr(d}oy6R-7gRAx85aSG%e+oE+kKUHz6U{1j6_c<6&ywbbXyoDD1;I57N=T1&>0-X9+VRyzLg<2By^U|{@spE|x"
    "SjzFpNeiQ6o2j9RrF2S5vKW}2p-43i4PG85#bzf!hB<?E~Yy>=`a>T3M%k}^nZY<FG7d`@Kn*fYFT91z$tza_%9XR8PaK<jRh7nuPyLdNtN0"
    "D_jg_ps-#{&5`8XqjO;B^L=C7e<Nrf}>&Pe8)K!SU9Fum%7*Gg<{AxO9wyBL*NHBRL#2jOO4%fl)*N0+Alq;CM2N-p)(6_Fx>~4V})Q6L1_d"
    "tE2T$akd!ube%k;x_EKC6@X-nTWpK~#69xZce6Qc0)QC~*h_F0^Fknc7c!Pw5+V^x$4M59T@F<a9`Cd+r(9$gYSZoDpS2h7bM3EQ5LfBb@r?"
    "u^{-y^G2V-N}F((9M#x^XNM{=7(K-A;`2odw5%g2GOPJjfCbSU~<MoiM>3PTf<z|WB*LbKOUIF4*W<nJ&4pFQgw3w(iNiUdX^j2u>OQRDvL!"
    "N|n9HXO@_7p+9kNNhP0!A-^JH@k9|0A)4@D+i4&If!sr`eD{}``u*Lu+jWd66RsH1@N~Ly;E{4%*ZG|!&{lqW6+<2cd``6X)?njze?)EXJH~"
    "`N&NVH9hX2#a)Omdt66dhyegkW9Ry`OPVufB#>o->hl6CaZfnDdR^$vbMm@8aJ>z!Jq3ybR1RK)CgGltv@;s?4LY@p0I&XmkB|5|!`}M+NLT"
    "=~Fge3q(Ua7<caCsGYF~H_UPaYh51ESn7d^Q2*M*I_JZU!DR5qwR6XD|#;0y25Sd1^j94unkQixE!wsE-MR@Aud7^<@MtdkY}G@0S9ij-O2H"
    "7C00RB82F=gqH|Ok@1`v`x&oEBLxusnuwu*AOXaRK*z{j!1ozzMFFw4n-oL=@gy)_ibzes9^(T<OpHU4^#r3XZ{i%WksPu8^1Ev!BU)g?^93"
    "@0*w-CQu^~4Hc+5zCcli`R1S5d=;NY49V(Yg8V!vjxxn|ZmPknLD7xL#NZy-MpKqAN7HlvsXtTsj&0sJW}$gFt7FIcmOV?~bp76cF-kVpYBX"
    "Syh1M;4Dq+>2CcqOgu|y&?WLKquRf%#j5we-9D607KCDvQ~+cQLm@_o1cH#e0yzXV6XoIi`1(A-B2ZAZ4SNwym7GuS-==Ai7FUL0Hpv!Qh<("
    "tSji8$6h<ylS$Khx1m=j0-E!Elv$brRb-!dt+nhfb{E94<g{ULIfd^nl8%Ed<A>wn8pJKx2M&w$KIF^**Xp)Ns0(2fiOE~02FSOpdmK!rDe%"
    "Fmta46=3R1*0(k5har#(qeOF9Ao0RRQ}Xm4d^sh-%KnZO47yqpaKdoCp{;nPlWFer8Gec>>6TLek_&lF;%R1d@sfhBY=Kl<|2aID!fFaLmuK"
    "oyeTKOYO{Dcj;$g7Hs2G_#0<a_d5^u!c&+5j18r%r&5LUY{!sS1T+E_)dJl821^gAVqCDh7`=5FX6_J?Tmg(&mjGfR^SlU*N<F*c-!*g;yNo"
    "@xBF2x0q%;IZ)$w>3()&9ge*7IU0{I?5e18HV$6EpMMOLWf_kO8nd;oDu70wah(Z}@~9FO}=F#aHk#DOmOtKfrS0sliTN(Li+tKe^A!ljaA6"
    "M_hc1OWj=yrF<Nz5ybjeh5G76Ak-B#>y8+i}k=pfVTH)yhJ>VVHV2*1;)$|V1x+RGnrv@HWo5PC}w4d5CNA;)u!gjR8QfCKLaA&K+#a#4n{F"
    "^_&G<c@{42x2~%dGf{9*jl(J!d5CR~q7Gs1ya63dvCk1gH%naKGB$y0MfuJZ5kd-MQz!qN=9Dl*WA^aLg_bQ(fZK78<Iu9sAVJ{HIBt8J1MB"
    ")RxV2YcKom2?4n^_A|Efbd?`+UYkBH4TikxroIfdGqfwh&Xzo&FbK${-Yov<c9=EuKKMx+wOM9{?->LPR?<8v_z{N!$epL71^Pokvrp)N~fe"
    "h58iVdg++2>B>=R8X86|5BltNAYY0rpEVxzT=-gGFj2RV+;l=R0O=qUdNL%uPUc4z!1)0|0g_)3sio)fta#8J57ih%q%;A^tZC*Gr|HLL?gk"
    "`t3wYDmG?+M7mpi4aC1B-5<QPScp&hCV+su=Ksa-&4hC@GOI8;(;*5n)09fGdFYDr@a&GW}K4H;ZM0EgDbdO+1h0Yp*i$0>&nXnN4LD<L}-7"
    "AG(<bOB@6ID6sP&lWUsH37uX0fa72K*SDW^cdQC$B6BOE(P`Ml%-h#@vajP#W)U3e!Pe@s*I=EL)ahzSn>J}Ad4K`bqOX;hWNivrZ|86NkUI"
    "R{Fs3F@ppiDT~ZzU4v3fP=7$wt%92hNHn=_a2`PT%gi}8+_-8WPO+ZYc5;WoS<;CI<L>PS($*^9Nl0D4u8J|R_{ILH3LVZPcP~ifRDV8G>8Q"
    "1>_NYjgv_~_Ke6;Cdd2?Xon5(9DF_QVn%boZ2uk&KOgTrh`9N^(pj5cA~V3d>#c5Q}}ViREA-$7y}4)qFCdhnWzM4FG9hAsV2D?Yeq052R)Q"
    "A2pf)VP!2bYk-P<DW=WXQu|Uyk_ogq4Q|KTq@VyNbUu8ibXLL<KxhKjZ)yy?iL_6`8~{M997ITRtRIsj6G{Xi&V#Nxq^8)$n1CppRG^TUFaf"
    "%Nf42kS-_)DW;W#lKZXV*;CsH;`UO=P>9zgMNhEseBTdq03rd7B{2WMgmIw<RZ04soFwPbIZ8&ee*e*lsrQZ+derPrd_exczXjI%H$?g8Ow1"
    "SsGhMu5r#AiyAFbdi8v6qzVB1uAHY0NtKZ-e{s&=qC`Lg<JI0RMp-(7qWX9S63_%X$y5*@wm|J0;UPSfHMM^8i0|UupdRz!8mk@GWI@$Vh9k"
    "zB4RPm(N5wx**ZoKN$--lBobl-RbKaq`S}fRA8=2*gE1l<0i(vLt3=ip_yzOp!qo_fhmK0src4%KV)2OXA!CeT0%8chor_7t_v-;fBPGcbv<"
    "b?l6A-C`?z^-vfOs`whBp}M`2`Re?KG>*^mw!*i4h_P>6tVumi{qoh!g)NAU-uk0YbsWTLAI>nt*r<APO`52?*h|;=`nb_s>9hNkx}%c$`}F"
    "XW5-lI=}=B!f+TTw+V;wQtTKR0ccVf1IV<8$Ql~Pd@wOPFF*jV79e1;N@yVtL-DZniHpy&sTo<q>QXRZ`GKJt@(;<lXJLl6lnqF<R004H39#"
    "(<eT!fK!P4;%%E70E6e9_pw3U?X(3q;TM%%_0``muo?zxXdR+(Ch9HW_7oK|Lhtbb*#YT3P!Vo?Fy!2XgC0<lUmxFFLa`EwBfqE<O1UC8<sk"
    "e_i(j;8piRH-&casr22F$y9zfk^Q0%m9U>U0F&hEdNSX9>*HAPW--)Q|iQUp+gQAGL#|-P#@h_9NDc0A_+;-qAmbqJ~mG7BrYn)_;*D`^Lfc"
    "2R4Eej08AxH-q?%qdjOP&yR3V_=L4A>q+X7st}Jn}w9seeN-L|S%1%__Xn-V8ez+MnyVie@@t@2IK*cl#s^qIPEb&IjZ@49ZkV`}84kU}r#8"
    "5T+48>!n2Zba7r*;7aWo-Mz=`U-Sn=WF!&GYBR8U_Hd<GppYsaxX!h-HKr2#5#uI^z4tvbb@Sxx-=|Auw_A&_coiy;BYuy%(0JmTl64V;)L%"
    "eWzX8W2kJdG@usjwu8GYfLIj}30DBbt4=^{KLO&y)R@KQC|niu0x)t+v=0YAF90Gi_PUK>-aN0&1px@5(%|LLlU&^;fOvq*--5z70r3GsQOq"
    "(DfcrG7-Ufq0R>)|pu=Fw+65K_qL6nLtKr~?@EZ!HSTOWAe<3Ww_$(h;&5HGi^l#GnHYhEU(WMr2ASu#$Vddy8APX$eeQiaClSb<4NfCy=yW"
    "nZ$l;P<6qBO`Bj#Xi)<$y*MvW!mS?oGkdZu6E&G=hUv}oQS3&8HFE9ei$8d7<Bu=Kp;n0joS%C_%9HN11~R-1zQIad4uc;DUwPSX_^Iy#KQ$"
    "}w2&)mM9UPTA3u$n1yxcHEn8?YPqf?MC9T}llKEdDhYW>q=M*a(;C^*VkurD}3D0QbeyRKb7njQHi<jkcgY|k{EUL1WP{UU=*>*P(Y3epO@_"
    "ZmXCs1i|QGh+Cf3EYHpooW5B}lXZu9Z0j(NZ?!{mpD1LYlR`K>i%TUKlRSU?OC>Xt{Ku{Q_X;El(|NtNC|D&8e}sC{PKY;FSRgRM|y3rs{d="
    "3S=O-kSb+S(5+9F*lV2|L896RxGu-TtaDqw0pJhfF37M{nE(XD%G*o;;=UnnY^c@)AfO#5Fb&ysY_0BmAM&RZ3^YqkVDyNTg3&;!@81BCjF3"
    "5+w{2w!I~YSCAc3j*u{*a?GP`XD{v(hQnOYy8fGDd5pO}F7WFA%N0OlzksH$7J2k+&YeNFp$*9p{PUF^0v91m|xLT5>3TVp?x^VR_fVUM>Rt"
    "RYtFGy)4zKrfY%EGH1on&AV8WNs3)00J2^Ae=kGmkFDUbX)j>zfwyum)6j--1Ia;<tb$3(#r&qiX6}Dshyo#JJW1CFI$^P6}b)_Le6>BiLI*"
    "xOF}+t2Vf+D@+=glC5IKC#tZ010m2g0DOPIM0&gp)+N}zFdYN(l%D!lVt{RT<MsCWgHdfl&-LxuDk<*PuDnm|R8_Xh6Z#$;LI#=S2Y%ev)2L"
    "hAC0Olhand_1fA1&pbN>>oh#^09<&w1-wR1!&{9d;~2GmNlp-g=kn@p|uWb1skjZMW!s8TV~>ur$2$vb^2}p?fj1Ba*>O(riCpZ<1Xp9(2GF"
    "+0*$IKiHC>i1d)8Pe9tds=4W@lj){Ey9_mcYO4519JymOduGYefI<0)m08aUBaw-?6BB@m2qhv1+gnIw3Uqr`$fz-uKfH|%S}oh+uF^EG+qP"
    "~ll-*kBR00z#3Rxv;<{eI!#b#*>5eZqE^_}FbQKEZ&zR|<<4dCapx42GVBK{g^H^<T{B)tocfGEI3L{bR}N%R1sTyX#c8u1u300GSrbZ8^H`"
    "^9>rPRABtB>RHevI3~K*tX3=Jmzk>%Lpu=CLm@7L>{pKldw?&qYOF%kV;t_QeofE(9AX&=o00&bzO5+hPE_W^}-Rj=mCJ6+d)(Y9LzzfA3?f"
    "q`k9I-W-vC*bVU{Op*20ZybvH14Kv^X$Bl8@^YKb#h+j)+eDUSy_v_<J4ej;%JITlz+NWf^|0)?-SHBcNNMYJd260{eb-n*$_R9<2ZG5fay?"
    "(CYecJz&td};uXzlL)VV@J=pMZ20T^c;*5Y+x+{>O`N)0k3PM(r`2m&`9|?0e~@iq;Ng7N6!H`{%rE5XJ@&9w5t1(CXi=y)@&m<IMm=?j0YJ"
    "k(YpXL^tjAEpNa}UigFQGhLu2@MqAc#9BSD>3`pVW8Hrsl0cGwp3OaoB%U)h+wTDBp$zF^OkbFjG11a(&6c1mEP{ns4<6YZD3lPYku5Tb4UN"
    "+G#6~Gl&jKypDfwy&e|8!B^lO-C1PC`?eE^qy-ZyX-d~OJ`zA6$9elNI$D9Ksx9g$NIw`a&YE>vE8{*a+%J(Mj=6N=d~b{Y~c6zf1rVb_7E1"
    "waDL3sV!C+FG7M8R@T<trv*kl$Tx@{(k|)zh3@Mz;<nCfyIy+8ve~{yj(7{2N3-PL>24+#-h1r77n}8#!kS1{wrh47}xzL`_BB#)l|KM!MX*"
    "cG`3~4W`%Ubscm~GeJ3Bzt%uC^NU7zq>_5cbc$gY#iChsgLqkq?UwuWw?`xWUNZ46ql5tzvspHrpcCj9pTvmhs)WpAeU96#v6Vj0sfVDI2I="
    "R|&nV`3<N1sadX#nf9gfk1fqq3e`FJy?L$NW05N*vj7?bX2I`P#S;@Sb8AJr_o?f2e)@Or;6BR{K-Cn|5UcS(z8vZG2vLYEemu68Gi6c~z2B"
    ">s7KLU0+vR={@H)_AG*MY^+cpgR^OrLW$D6SD$GK&@Kyyj_d+;y~>DRP?09hIiiDxR+A=0WPyl9ln$kE@Z|pEwl1YeKdZJ+Kw71|l)oTS{o}"
    "^82N2vRFeqh+t9C&}R#*THnH5K9Z_*-GJ;+0WOuzy7WON>Q#7i9TK7^-<;dczlKI6Ov33?l7BJX0&W)t`VK-d>geumE_LE}cJtjLgy0#ga(E"
    "go^pk?K#MKU@AD1Q|h5j5d8GBZ}1(W1*pZWLF0qEw?B{O(i6^I_XI$Fu@r%_Ay{&j`=kpJ$F8K?)U07fx(^_b`|QJjmyn>nlGL9dHty7YgZ{"
    "pK+<Me=?`s`v~33@Hew8b)%{}2%>*X(k2SSPj5`6D($RY>($NKW1Y>9Aj)9t3@Q@5qf{-?Ow*wIYshTc`c<>W*0h!+1qfPoug4ra`AYrju2("
    "&Z{-Kh4kM7w)1GB7ij#u23ILCMIzZ1%Tx0Se(|=k-}T`z+@F)S;?3?*K$hG$1&+Z+eNs;|$>X;Ex8})uyA=1?o5hVBsVlfD2s*MRP>y3;$;S"
    "c<i5F?0?qM=A}ZDyB4U}3qq~390Q6mldg0(uUK?l><YzX8`M<9PJx;_AbAMZd)P|!?!oFGi76RrmuB214S~l4h)2`v)l)o@f~HiDxCwhB*!A"
    "J+f8CgB1d+%U9_(??vwkTrNolwKwo}$Tk>S1isQb|*AwT<VQ^o`@WsxO%>o$-UR+8}2u{$8K+CpRq7GeSDupo5Xu!YI-Ujm|?xI2MqjVviay"
    "CvWP$zg$#L5#$bM8idC5}^yn4Ar-`;WAD3vF!T%q5TOQ^xQczGU2%^+if8oH%!1mqGGM=8^k;U`_w9gYvh&_6(JwT#=BySq{aULh*QdK>F1("
    "1Zy$BPH))Dt?aly^cLE~t0U5V39TAa~sWkya7WxI2S;X+B_`rLSr7Y&Me}AX3<gfF9bmMjB>e;6!x1N|h8CvC)hA_0ibWodk9vn=82|!HidZ"
    "SY_;wfy>qsyLj_oIgQfS^ct>`bh%Y=oKdw$lMPppiF9N0F-S5NVE(RAzP@UnJupJyKn3XI*HL2v$%F_8w$#2M_<ZXROnmvj$IEr31mrWy1z("
    "4Eqie8Pv{EvNEM%0=ZB7Qo9rT<*WTeLTuWnY!!M2{(?P$a7~T%;_bQie@d3?Y}&VsFMj=^HDWdJ8Rv=<W<0ZIiVycpc=$vibTCBw+HfkD1=4"
    "UfdsJr!gkHBvZb&TG^dA170Mbt!i7xR8NXUlF;WJ@(ZPzZp1EeQ|KEUDTSDx$)Ot0TKfP|COxh5EL+lqj}#(_Iz1}2aRG9?g@NLEwE3v86_a"
    "rsj~vftW8oKeXeCNM;nfWZ}#V`M@SLdkei2A~o<mlCTarP%!_9GB%>_4${86sFHaGyAm^4@04KMkdVy7;5mUkfp6Tvsi~5TZ`S6a6r8AsLnr"
    "UXiNE&&PvfZlA=-incYPJL>85t5XA)hWQqVH0K^<)@~m(rvyYg-u6W1(&tF|wo*I|0mJ|l|<hIlJy6?QpNC2jteR>EOCz{dga+|sznX1rK03"
    "t)t2X_7wj#I^HePxKod;>;aDg+1O!oD<V`^eqd9gKwlh$kbs#iJn=wRATg@7A8cuD7ggG}i0RURldVRJy_39r7=_UW~ZdniIP|%vKuvj-iyh"
    "bu0VfIu$x3tJ<%$Phf(5VNO3w)){MEdn5}l=UGZ1g+!$Oijr@<MA;SuD8JE}8ukIiQQ{fAymFrdfW0RLCf+g^v0Jp^RChrxRW#IRUt-lB09O"
    "td&(h8E-y_mK0ZHrH-vH^Uck5==@~1^*`|V!de=9sdI0#n>aF`t@m_RK7NW4hO5g@^vHGZ8ZHd9PQ#xEKRe^^xiwEH;i`~t!16_EC50Z4!%v"
    "N2ZCveuL!;lyzhzljNcU`d}aY6<t>1JWme1|zjUN;qMqnSclfCm<lulpzTqd7)?}V>a0o(m0nF0i@**7}}47AS>Qy5ptJW8XLmMSipVDZb5+"
    "oh=gNUstg#?da0-t0D}`)%APHWF<!=DH0J#;{YwFPwP1+ClnVR9wk?&F6x_z*t(UJ2ddUP>HtmBQ`{*K&+v4xeJ;ZkX8jxqhudmvt=$ra>tU"
    "KG4_SDwE%Z$=p<i=LEf3WYPYZ~r7&#HczcdUh-ge^fj^Q&~Zv6En&KK;V__Q?#n@v!TedN)X9X!OldBC`#n@-l;MiX%>7N)Is3HfaGSu`k_s"
    "0HoqaIa$;+V?TdY!`x@{P0_*#l+4cN7pMzae(4lKWJ)5Lg@KYVj!tGuyL!bjdahN!LN<E>*&8GKWI!2W{ZDF0-&)RvB}r|Y@UuS;!&X@GQ}*"
    "Qd=W_gAP3jkbw9i-eGjQ}8%)vYN70d~)w(S56)|}U6MQ)CMSslVN<h%#4Pcrl1{^cUKuYqd(tSNb^HLvU{Lxk*mfV;EK?pf<#dq-68TipYKM"
    "xTEN$kW~rrY1jwR7c@!)<vMPFtwfC2_P$gymepM&1IFEapPtl_yhayn}iEmOWMc`IgO<2cA3itBxE6qkjO0P!F+NgBGDx$NV!0;CT8BG7mB~"
    "JZ{j4vcGi-fFXQTW^2vxfj}?iAv)F+ROb-USf;Dh!A(OXlT|g5}5D~Tk(Zb^}zfTB{q+92Pd0n@Gy;W{mGgif0h3vG3mkGqImXjYc`4W(M!x"
    "Al=9@9y6bJ6N`!Qa=={(d5JAHr<U(C;_koVf~6#E5nBJI9^^p3IN=pUuODzyXP1cKj(zNL`$GkK-?~`%CY8F1M%uTfH4!W039}i=YxcpQIaS"
    "M<RBNMQRiAO2K_50Qn5-zXkVyNs#2)|3MsnIpFiVY|bYwb4uqNuLtD@@i!ls=2n!?exx~W^Sghm0#RZ9+re$Y1Uy)EW6uPRqFs=M{0`tX_^%"
    "Y?#(N10SpE|SM>OS+fnY|&6QFY0w(i+(a@$rAaF8sq&7yYCNg5{Q8&0%W3S0dAxGKkG+<$h<_GHj94=>MuE+jKB;B<B6MS_bRiCfwLgc(6Y<"
    "S4}(em|Ftw6o=*CVLF(sk9v9AB)<bwVRp2Y@4@yO$fu{n%ws7q3^s+@Noct`LBWuFEu1enW*gt^Y*K1k%jkNNZ-iV0pqU&a-UgX%(2ga?9x`"
    "e?hSCj650SQ!n(`B(h4jd%y_(YlP?stc2rHxhxDMha8{33i#apm;;(&Rp8?vYy)lc<$3_I(^XaTex6{cNINBBE8%+J44g0q$w)4`jB%HVQiO"
    "QG1Px)f;xcc3XEB341KGwheGA`_IBHQF&pFu9?zb+DxSIQ~hT=DIaZ?0r~h&b4|J3HPwdm5z3eIG-=QzS;&3N82VH~SJ!{=+Y9Tz|dZ*ZS?d"
    "5pzslzn*$@z`BY23T*b4U+z3WzWH6I19W$s_kDoy9M_Bg3{B@Z_SxsfCV-2Vf%0!-T(c!WdIV;lz<a)U|6hlo{{tl*-<<"
)
"""A byte for each count, symbol by symbol: 0 for none, else 1 + its half octave."""


def counts() -> np.ndarray:
    """(1169 rows, 16 symbols) int32: what the tables start from, in 1/256 of a symbol."""
    octaves = np.frombuffer(zlib.decompress(base64.b85decode(_COUNTS)), np.uint8).reshape(16, -1).T
    halves = octaves.astype(np.int32) - 1
    held = np.where(halves & 1, 181 << 12, 128 << 12) >> 19 - (halves >> 1)
    return np.ascontiguousarray(np.where(octaves > 0, held, 0)).astype(np.int32)
