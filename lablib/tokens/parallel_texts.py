"""The same five sentences in twelve languages, and a little Python, to measure what a tokenizer costs whom.

Written for the course. The sentences say the same, so that a ratio of tokens is a ratio for the same content.
"""

SENTENCES = {
    "English": "The miller's cat sleeps on the warm sacks of flour. Every morning she counts the boats on the river. "
    "Nobody knows how old the bridge is. In winter the children skate to school. "
    "When it rains, the whole village smells of bread and wet dogs.",
    "Spanish": "La gata del molinero duerme sobre los sacos tibios de harina. Cada mañana cuenta las barcas del río. "
    "Nadie sabe cuántos años tiene el puente. En invierno los niños van a la escuela patinando. "
    "Cuando llueve, todo el pueblo huele a pan y a perro mojado.",
    "French": "La chatte du meunier dort sur les sacs de farine tièdes. Chaque matin, elle compte les bateaux sur la rivière. "
    "Personne ne sait quel âge a le pont. En hiver, les enfants vont à l'école en patins. "
    "Quand il pleut, tout le village sent le pain et le chien mouillé.",
    "German": "Die Katze des Müllers schläft auf den warmen Mehlsäcken. Jeden Morgen zählt sie die Boote auf dem Fluss. "
    "Niemand weiß, wie alt die Brücke ist. Im Winter laufen die Kinder auf Schlittschuhen zur Schule. "
    "Wenn es regnet, riecht das ganze Dorf nach Brot und nassen Hunden.",
    "Finnish": "Myllärin kissa nukkuu lämpimien jauhosäkkien päällä. Joka aamu se laskee joella olevat veneet. "
    "Kukaan ei tiedä, kuinka vanha silta on. Talvella lapset luistelevat kouluun. "
    "Kun sataa, koko kylä tuoksuu leivältä ja märiltä koirilta.",
    "Russian": "Кошка мельника спит на тёплых мешках с мукой. Каждое утро она считает лодки на реке. "
    "Никто не знает, сколько лет мосту. Зимой дети ездят в школу на коньках. "
    "Когда идёт дождь, вся деревня пахнет хлебом и мокрыми собаками.",
    "Greek": "Η γάτα του μυλωνά κοιμάται πάνω στα ζεστά σακιά με το αλεύρι. Κάθε πρωί μετράει τις βάρκες στο ποτάμι. "
    "Κανείς δεν ξέρει πόσο παλιό είναι το γεφύρι. Τον χειμώνα τα παιδιά πηγαίνουν στο σχολείο με παγοπέδιλα. "
    "Όταν βρέχει, όλο το χωριό μυρίζει ψωμί και βρεγμένο σκύλο.",
    "Arabic": "تنام قطة الطحّان على أكياس الدقيق الدافئة. كل صباح تعدّ القوارب في النهر. "
    "لا أحد يعرف كم عمر الجسر. في الشتاء يذهب الأطفال إلى المدرسة متزلجين. "
    "عندما تمطر، تفوح من القرية كلها رائحة الخبز والكلاب المبللة.",
    "Hindi": "चक्कीवाले की बिल्ली आटे की गरम बोरियों पर सोती है। हर सुबह वह नदी की नावें गिनती है। "
    "कोई नहीं जानता कि पुल कितना पुराना है। सर्दियों में बच्चे बर्फ़ पर फिसलते हुए स्कूल जाते हैं। "
    "जब बारिश होती है, तो पूरा गाँव रोटी और भीगे कुत्तों से महकता है।",
    "Chinese": "磨坊主的猫睡在暖和的面粉袋上。每天早上它都数河上的船。没有人知道那座桥有多老。"
    "冬天孩子们滑冰去上学。一下雨，整个村子都是面包和湿狗的味道。",
    "Japanese": "粉屋の猫は暖かい小麦粉の袋の上で眠る。毎朝、川の舟を数える。橋がどれほど古いのか、誰も知らない。"
    "冬には子どもたちがスケートで学校へ行く。雨が降ると、村じゅうがパンと濡れた犬のにおいになる。",
    "Korean": "방앗간 주인의 고양이는 따뜻한 밀가루 자루 위에서 잔다. 아침마다 강 위의 배를 센다. "
    "다리가 얼마나 오래되었는지 아무도 모른다. 겨울에는 아이들이 스케이트를 타고 학교에 간다. "
    "비가 오면 온 마을에서 빵과 젖은 개 냄새가 난다.",
}

PYTHON = '''def boats_by_morning(river, mornings):
    """How many boats the cat has counted, morning by morning."""
    counted = []
    for morning in range(mornings):
        boats = [thing for thing in river.at(morning) if thing.kind == "boat"]
        if not boats and counted:
            counted.append(counted[-1])  # she was asleep
        else:
            counted.append(len(boats))
    return {"total": sum(counted), "mean": sum(counted) / max(len(counted), 1)}
'''
